/**
 * To show: the systemd unit and the Containerfile name only what there is: files of the package,
 * commands, flags and settings of the program, the folder in which the socket comes to lie.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { settingsOf } from '../../src/cli/connector/settings.ts';
import { command as connector } from '../../src/cli/connector.ts';
import { command as node } from '../../src/cli/node.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'concordat-deploy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const manifest = JSON.parse(read('package.json')) as {
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
};

/** Every flag of a command line stands in the usage of its command. */
function expectKnown(words: readonly string[]): void {
  const [name, ...rest] = words;
  const usage = name === 'connector' ? connector.usage : node.usageOf?.(rest);
  expect(name).toMatch(/^(connector|node)$/);
  for (const flag of rest.filter((word) => word.startsWith('--'))) {
    expect(usage, `${name} says nothing of ${flag}`).toContain(flag);
  }
  if (name === 'node') expect(node.usage).toContain(`node ${rest[0]} `);
}

describe('the systemd unit', () => {
  const unit = read('deploy/systemd/concordat-connector.service');
  const settings = new Map(
    [...unit.matchAll(/^([A-Za-z]+)=(.*)$/gm)].map(([, name = '', value = '']) => [
      name,
      value,
    ]),
  );

  test('starts the installed program with a command and flags that there are', () => {
    const [program = '', ...words] = (settings.get('ExecStart') ?? '').split(' ');
    expect(Object.keys(manifest.bin)).toContain(basename(program));
    expectKnown(words);
    expect(settings.get('RestartSec')).toMatch(/^\d+$/);
  });

  test('makes the folder of the socket that its configuration names', async () => {
    const path = join(folder, 'connector.json');
    writeFileSync(path, read('deploy/systemd/connector.json'));
    const {
      socket = '',
      socketMode,
      socketGroup,
      attestationPolicy,
    } = await settingsOf({
      config: path,
    });
    // Else GoQuorum's user could not get through the folder to the socket.
    expect(socketGroup).toBe(settings.get('Group'));
    expect(dirname(socket)).toBe(`/run/${settings.get('RuntimeDirectory')}`);
    expect(socketMode).toMatch(/^6[06]0$/);
    expect(settings.get('RuntimeDirectoryMode')).toBe('0710');
    expect(attestationPolicy).toBe(join(folder, 'client-policy.json'));
  });

  test.each([
    ['NoNewPrivileges', 'yes'],
    ['CapabilityBoundingSet', ''],
    ['ProtectSystem', 'strict'],
    ['ProtectHome', 'yes'],
    ['PrivateTmp', 'yes'],
    ['PrivateDevices', 'yes'],
    ['ProtectKernelTunables', 'yes'],
    ['RestrictAddressFamilies', 'AF_UNIX AF_INET AF_INET6'],
    ['SystemCallArchitectures', 'native'],
    ['LimitCORE', '0'],
    ['UMask', '0077'],
  ])('is hardened: %s=%s', (name, value) => {
    expect(settings.get(name)).toBe(value);
  });

  test('lets the engine compile, and does not run as root', () => {
    expect(settings.has('MemoryDenyWriteExecute')).toBe(false);
    expect(settings.get('User')).toBe('concordat');
  });
});

describe('the Containerfile', () => {
  const text = read('deploy/container/Containerfile').replace(/\\\n/g, ' ');
  const instruction = (name: string): string => {
    const found = [...text.matchAll(new RegExp(`^${name} (.*)$`, 'gm'))].at(-1)?.[1];
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  };

  test('runs a file of the package, with a command and flags that there are', () => {
    const [runner, file = ''] = JSON.parse(instruction('ENTRYPOINT')) as string[];
    expect(runner).toBe('node');
    const inside = file.replace(`${instruction('WORKDIR')}/`, '');
    expect(manifest.files).toContain(inside);
    expect(read(inside)).toContain('#!/usr/bin/env node');
    expectKnown(JSON.parse(instruction('CMD')) as string[]);
    const [example = ''] = /\["connector".*\]/.exec(text) ?? [];
    expectKnown(JSON.parse(example) as string[]);
  });

  test('takes the package of this version, and makes no lock file beside it', () => {
    expect(text).toContain(`TARBALL=concordat-${manifest.version}.tgz`);
    expect(text).toMatch(/npm install [^\n]*--no-package-lock/);
  });

  test('does not run as root, and copies only what it was told', () => {
    expect(instruction('USER')).toMatch(/^[1-9]\d+:[1-9]\d+$/);
    const sources = [...text.matchAll(/^COPY (?:--\S+ )?(\S+) /gm)].map(([, from]) => from);
    expect(sources).toEqual([`\${TARBALL}`, '/opt/concordat']);
  });

  test('starts in the folder, and by the program, that the container policy allows', () => {
    const release = JSON.parse(read('enclave-policy/release.json')) as {
      readonly containers: readonly {
        readonly command: readonly string[];
        readonly workingDirectory: string;
      }[];
    };
    const [container] = release.containers;
    expect(container?.workingDirectory).toBe(instruction('WORKDIR'));
    const entry = JSON.parse(instruction('ENTRYPOINT')) as string[];
    expect(container?.command.slice(0, entry.length)).toEqual(entry);
    expectKnown(container?.command.slice(entry.length) ?? []);
  });
});
