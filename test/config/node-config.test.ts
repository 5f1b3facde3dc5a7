/**
 * A node's configuration: what it says when nothing is said, and how each fault is told.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import { editsBetween, nearestName } from '../../src/base/nearest-name.ts';
import { addressOf, textOfAddress } from '../../src/config/kinds.ts';
import { nodeConfigOf, readNodeConfig } from '../../src/config/node-config.ts';
import { NODE_SCHEMA } from '../../src/config/node-schema.ts';
import { nodeSettingsPage } from '../../src/config/reference-page.ts';
import { bytesOfSize, millisecondsOf } from '../../src/config/units.ts';

const folder = mkdtempSync(join(tmpdir(), 'concordat-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const member = { certificate_file: 'member.pem', encryption_public_key_file: 'enc.pem' };
const SMALLEST = {
  folder: 'node1',
  network: {
    node_to_node_interface: { bind_address: '127.0.0.1:8500' },
    rpc_interfaces: { primary_rpc_interface: { bind_address: '[::1]:8000' } },
  },
  command: { type: 'Start', start: { members: [member] } },
};

type Json = Readonly<Record<string, unknown>>;

/** The smallest configuration with one value put in, or taken out, at a dotted name. */
function changed(name: string, value: unknown): unknown {
  const put = (object: Json, [first = '', ...rest]: readonly string[]): Json => {
    const inner = object[first];
    const isObject = typeof inner === 'object' && inner !== null;
    const next = rest.length === 0 ? value : put(isObject ? (inner as Json) : {}, rest);
    return { ...object, [first]: next };
  };
  return JSON.parse(JSON.stringify(put(SMALLEST, name.split('.'))));
}

function faultsOf(given: unknown): readonly string[] {
  try {
    nodeConfigOf(given, '/etc/concordat/node.json');
  } catch (thrown) {
    if (thrown instanceof CodedError) return thrown.fields.faults as readonly string[];
    throw thrown;
  }
  return [];
}

describe('the smallest configuration', () => {
  const config = nodeConfigOf(SMALLEST, '/etc/concordat/node.json');

  test('has the defaults of the design for all that it does not say', () => {
    expect(config).toMatchObject({
      folder: '/etc/concordat/node1',
      durability: 'fsync',
      consensus: { message_timeout: 50, election_timeout: 1000 },
      ledger: { chunk_size: 5 * 1024 * 1024 },
      ledger_signatures: { kind: 'mixed', tx_count: 5000, delay: 3, service_delay: 1000 },
      snapshots: { tx_count: 10_000 },
      restart: { unproven: 'refuse' },
      network: { operator_interface: { bind_address: { host: '127.0.0.1', port: 0 } } },
    });
  });

  test('has its paths from where it lies, and its addresses in parts', () => {
    const { command, network } = config;
    expect(command).toMatchObject({
      kind: 'start',
      serviceCertificateFile: '/etc/concordat/service_cert.pem',
      start: { members: [{ certificate_file: '/etc/concordat/member.pem' }] },
    });
    expect(network.rpc_interfaces.primary_rpc_interface.bind_address).toEqual({
      host: '::1',
      port: 8000,
    });
  });
});

test('a join needs its target and nothing of a start', () => {
  const join = { type: 'Join', join: { target_rpc_address: 'a.example:8000' } };
  const { command } = nodeConfigOf(changed('command', join), '/x/node.json');
  expect(command).toMatchObject({
    kind: 'join',
    join: { target_rpc_address: { host: 'a.example', port: 8000 }, retry_timeout: 1000 },
  });
});

describe('each fault is told with its name, its value and what it takes', () => {
  const key = Buffer.alloc(31).toString('base64');
  const resident = { privacyGroupId: 'a', name: 'a', members: [key] };
  const organisation = { name: 'A', certificate_file: 'a.pem', residents: [resident] };
  test.each<readonly [string, unknown, RegExp]>([
    ['folder', undefined, /^folder is missing; it takes a path$/],
    ['folder', 7, /^folder is 7; it takes a path$/],
    ['fodler', '/x', /^fodler is no setting; did you mean folder\?$/],
    ['election_timeout', '1s', /did you mean consensus\.election_timeout\?$/],
    ['consensus.election_timout', '1s', /did you mean consensus\.election_timeout\?$/],
    ['consensus.message_timout_ms', '1s', /did you mean consensus\.message_timeout\?$/],
    ['snapshots.zebra', 1, /^snapshots\.zebra is no setting; there are tx_count$/],
    ['consensus.election_timeout', '1 second', /is "1 second"; it takes a time such as/],
    ['consensus.election_timeout', 1000, /is 1000; it takes a time/],
    ['consensus.election_timeout', '60ms', /at least twice consensus\.message_timeout, 50ms/],
    ['ledger.chunk_size', '5MiB', /is "5MiB"; it takes a size such as "5MB"/],
    ['ledger.chunk_size', '1B', /at least 1KB/],
    ['snapshots.tx_count', 0.5, /a whole number from 1/],
    ['durability', 'maybe', /is "maybe"; it takes "fsync", "os"/],
    ['applications', ['log', 'quorm'], /it takes a list of "log", "quorum"/],
    ['applications', 'log', /it takes a list/],
    ['network.node_to_node_interface.bind_address', 'localhost', /an address such as/],
    ['network.node_to_node_interface.bind_address', 'a:65536', /an address such as/],
    ['network.node_to_node_interface.bind_address', 'a:0', /has port 0; .* choose one/],
    ['network.rpc_interfaces.main', {}, /main is no setting; there are primary_rpc_interface/],
    [
      'network.rpc_interfaces.primary_rpc_interface.redirections',
      { to_primary: { kind: 'NodeByRole', target: {} } },
      /redirections\.to_primary\.target\.role is missing; its kind is "NodeByRole"/,
    ],
    [
      'network.rpc_interfaces.primary_rpc_interface.redirections',
      { to_backup: { kind: 'StaticAddress', target: { role: 'backup' } } },
      /redirections\.to_backup\.target\.address is missing/,
    ],
    ['network', [], /^network is \[\]; it takes an object of settings/],
    ['command.type', 'Restore', /is "Restore"; it takes "Start", "Join", "Recover"/],
    ['command.type', 'Recover', /^command\.recover is missing/],
    ['command.type', 'Join', /^command\.join is missing/],
    ['command.start.members', [], /a new service needs a first member/],
    ['command.start.members', {}, /it takes a list/],
    ['command.start.members', [{ ...member, x: 1 }], /^command\.start\.members\[0\]\.x is no/],
    ['command.start.service_configuration.recovery_threshold', 2, /there are 1 members/],
    ['command.start.opens.organisations', [organisation], /members\[0\] is .* 32 bytes/],
  ])('%s: %j', (name, value, told) => {
    const faults = faultsOf(changed(name, value));
    expect(
      faults.filter((fault) => told.test(fault)),
      faults.join('\n'),
    ).toHaveLength(1);
  });

  test('all of them at once', () => {
    expect(faultsOf({ folder: 1, consensus: { a: 1 } }).length).toBeGreaterThanOrEqual(5);
  });

  test('a file that is not there or no JSON', () => {
    expect(() => readNodeConfig(join(folder, 'none.json'))).toThrow(/none\.json: ENOENT/);
    const path = join(folder, 'broken.json');
    writeFileSync(path, '{"folder": ');
    expect(() => readNodeConfig(path)).toThrow(/broken\.json: .*JSON/);
  });
});

test.each([
  ['100ms', 100],
  ['1s', 1000],
  ['5min', 300_000],
  ['10000us', 10],
  ['2H', 7_200_000],
  ['1.5s', undefined],
  ['-1s', undefined],
  ['s', undefined],
  ['10', undefined],
  ['10 s', undefined],
  ['999999999999999h', undefined],
])('the time %s is %s milliseconds', (text, milliseconds) => {
  expect(millisecondsOf(text)).toBe(milliseconds);
});

test.each([
  ['5MB', 5_242_880],
  ['16kb', 16_384],
  ['7B', 7],
  ['1TB', 1024 ** 4],
  ['5M', undefined],
  ['MB', undefined],
])('the size %s is %s bytes', (text, bytes) => {
  expect(bytesOfSize(text)).toBe(bytes);
});

test.each([
  ['a:1', 'a:1'],
  ['[::1]:65535', '[::1]:65535'],
  ['::1:5', undefined],
  ['a', undefined],
  ['a:', undefined],
  ['http://a:1', undefined],
])('the address %s reads as %s', (text, shown) => {
  const address = addressOf(text);
  expect(address === undefined ? undefined : textOfAddress(address)).toBe(shown);
});

test.each([
  ['', '', 0],
  ['abc', 'abc', 0],
  ['abc', 'acb', 1],
  ['abc', 'ab', 1],
  ['kitten', 'sitting', 3],
  ['ca', 'abc', 3],
])('from %j to %j it takes %i edits', (left, right, edits) => {
  expect(editsBetween(left, right)).toBe(edits);
  expect(editsBetween(right, left)).toBe(edits);
});

test('a node on real hardware says which, and where its certificates are asked for', () => {
  expect(nodeConfigOf(SMALLEST, '/etc/node.json').attestation).toMatchObject({
    platform: 'virtual',
    endorsements: { from: [], amd_url: 'https://kdsintf.amd.com', timeout: 10_000 },
    configfs: { folder: '/sys/kernel/config/tsm/report', privilege_level: undefined },
  });
  const given = changed('attestation', {
    endorsements: { from: ['amd', 'thim'], amd_url: 'https://mirror.example/amd/' },
  });
  // In the order in which they stand.
  expect(nodeConfigOf(given, '/etc/node.json').attestation.endorsements).toMatchObject({
    from: ['amd', 'thim'],
    amd_url: 'https://mirror.example/amd',
  });
});

test('a name that is far from all is not guessed at', () => {
  expect(nearestName('colour', ['folder', 'network'])).toBeUndefined();
  expect(nearestName('netwrok', ['folder', 'network'])).toBe('network');
});

test('the reference page in docs/ is the one that the schema makes', () => {
  const path = join(import.meta.dirname, '../../docs/configuration.md');
  expect(
    readFileSync(path, 'utf8') === nodeSettingsPage(),
    'run `npx concordat node settings > docs/configuration.md`',
  ).toBe(true);
});

test('the page has a line for every setting, and each line says something', () => {
  const page = nodeSettingsPage();
  const lines = NODE_SCHEMA.lines('');
  expect(lines.length).toBeGreaterThan(30);
  for (const { name, takes, otherwise, about } of lines) {
    expect(page).toContain(`| \`${name.split('.').at(-1)}\` | ${takes} |`);
    expect(`${takes}${otherwise}${about}`.length).toBeGreaterThan(10);
  }
});
