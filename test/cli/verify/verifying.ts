// Runs `concordat verify` in this process, in a world of a test's own: its clock, its AMD.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { AmdRoots } from '../../../src/attestation/judging.ts';
import { isCoded } from '../../../src/base/errors.ts';
import type { CommandIo } from '../../../src/cli/command.ts';
import { verifyCommand } from '../../../src/cli/verify.ts';
import { AT_MS } from '../../attestation/fake-certificates.ts';
import { fakeRoots } from '../../attestation/judged.ts';

export interface Verified {
  readonly code: number;
  readonly out: string;
}

export interface World {
  readonly roots?: AmdRoots;
  readonly nowMs?: number;
}

/** Exit code and output; what the program would say of a coded error is told the same way. */
export async function verify(args: readonly string[], world: World = {}): Promise<Verified> {
  const { roots = fakeRoots(), nowMs = AT_MS } = world;
  const lines: string[] = [];
  const io: CommandIo = {
    out: (text) => lines.push(text),
    err: (text) => lines.push(text),
    progress: () => undefined,
    isTty: false,
    signal: new AbortController().signal,
  };
  try {
    const code = await verifyCommand({ roots, nowMs: () => nowMs }).run(args, io);
    return { code, out: lines.join('\n') };
  } catch (thrown) {
    const isUsage = isCoded(thrown, 'Usage') || hasCode(thrown, /^ERR_PARSE_ARGS/);
    if (!isUsage && !isCoded(thrown)) throw thrown;
    return { code: isUsage ? 2 : 3, out: [...lines, String(thrown)].join('\n') };
  }
}

function hasCode(thrown: unknown, form: RegExp): thrown is Error {
  return thrown instanceof Error && 'code' in thrown && form.test(String(thrown.code));
}

/** A folder for the files of a test, gone after it. */
export function scratchFolder(): {
  readonly path: (name: string) => string;
  readonly file: (name: string, content: string | Uint8Array) => string;
} {
  const folder = mkdtempSync(join(tmpdir(), 'verify-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const path = (name: string): string => join(folder, name);
  return {
    path,
    file: (name, content) => {
      writeFileSync(path(name), content);
      return path(name);
    },
  };
}
