/** `concordat policy`: makes the policies of a release, and shows whether they are in step. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../base/errors.ts';
import type { Command, CommandIo } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { readReleaseInput } from './policy/release-input.ts';
import { type ReleasePolicies, releasePolicies } from './policy/release-policies.ts';

const USAGE = `Usage: concordat policy generate --input FILE [OPTIONS]

Makes all policies of a release of one input (enclave-policy/README.md): the container policy, that
of the attestation service, the key release policy, the proposal by which its nodes may join, and
the policy for clients and auditors.

  --input FILE    the release: JSON, as enclave-policy/release.json
  --output DIR    where they are written (default: beside the input)
  --check         write nothing; exit 1 if what lies there is not what would be written
  --json          print JSON`;

export const command: Command = {
  name: 'policy',
  summary: 'make the policies of a release',
  usage: USAGE,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: {
        input: { type: 'string' },
        output: { type: 'string' },
        check: { type: 'boolean' },
        json: { type: 'boolean' },
      },
    });
    if (positionals.join(' ') !== 'generate') throw usage('say what to do: generate');
    const { input, output } = values;
    if (input === undefined) throw usage('--input names the release');
    const policies = await releasePolicies(readReleaseInput(await read(input)));
    const folder = output ?? dirname(input);
    const stale = await differing(policies, folder);
    if (values.check !== true) await write(policies, folder);
    tell(policies, folder, stale, values, io);
    return values.check === true && stale.length > 0 ? EXIT.bad : EXIT.good;
  },
};

function tell(
  { hostData, draft, files }: ReleasePolicies,
  folder: string,
  stale: readonly string[],
  { check = false, json = false }: { readonly check?: boolean; readonly json?: boolean },
  io: CommandIo,
): void {
  if (json) {
    io.out(JSON.stringify({ ok: !check || stale.length === 0, hostData, draft, stale }));
    return;
  }
  for (const name of Object.keys(files)) {
    const isStale = stale.includes(name);
    const state = check ? (isStale ? 'STALE' : 'in step') : isStale ? 'written' : 'unchanged';
    io.out(`  ${state.padEnd(11)}${join(folder, name)}`);
  }
  io.out(`host data ${hostData}`);
  if (draft) {
    io.out('DRAFT: a container has no layers yet, and cannot start under this policy');
  }
}

async function differing(
  { files }: ReleasePolicies,
  folder: string,
): Promise<readonly string[]> {
  const stale: string[] = [];
  for (const [name, content] of Object.entries(files)) {
    const found = await readFile(join(folder, name), 'utf8').catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
        return undefined;
      throw error;
    });
    if (found !== content) stale.push(name);
  }
  return stale;
}

async function write({ files }: ReleasePolicies, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), content);
  }
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const message = `${path} cannot be read: ${messageOf(cause)}`;
    throw new CodedError('Unreadable', message, { path }, { cause });
  }
}

function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}
