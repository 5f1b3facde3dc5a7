// The page about sealing: its examples are configurations, and it speaks of every kind.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { nodeConfigOf } from '../../src/config/node-config.ts';
import { SEALING } from '../../src/config/sealing-schema.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/sealing.md'), 'utf8');
const REST = {
  folder: 'node',
  network: {
    node_to_node_interface: { bind_address: '127.0.0.1:8500' },
    rpc_interfaces: { primary_rpc_interface: { bind_address: '127.0.0.1:8000' } },
  },
  command: { type: 'Join', join: { target_rpc_address: '127.0.0.1:8001' } },
};

test('each example is read', () => {
  const examples = [...PAGE.matchAll(/```json\n([\s\S]*?)```/g)].map(([, text = '']) => text);
  const kinds = examples.map((text) => {
    const given: object = JSON.parse(text);
    return nodeConfigOf({ ...REST, ...given }, '/etc/node.json').sealing.kind;
  });
  expect(kinds).toEqual(['tpm', 'key-vault']);
});

test('each kind has its row', () => {
  const takes = SEALING.lines('').find(({ name }) => name === 'kind')?.takes ?? '';
  const kinds = takes.split(', ').map((each) => `\n| \`${each.replaceAll('"', '')}\` |`);
  expect(kinds).toHaveLength(3);
  for (const row of kinds) expect(PAGE).toContain(row);
});

test('the words that stop a node are those of the program', () => {
  const source = ['src/cli/node/sealing-settings.ts', 'src/attestation/sources/tpm-sealer.ts']
    .concat('src/attestation/azure/attested-release.ts', 'src/cli/node/vault-release.ts')
    .map((path) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8'))
    .join();
  const [, words = ''] = /the node says why \(([^)]*)\)/.exec(PAGE.replaceAll('\n', ' ')) ?? [];
  const codes = words.split(', ').map((word) => word.replaceAll('`', ''));
  expect(codes).toHaveLength(3);
  for (const code of codes) expect(source).toContain(`'${code}'`);
});
