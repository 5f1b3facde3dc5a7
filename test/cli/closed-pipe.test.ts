// A reader that goes away, as `head` does, neither fails a command nor ends it with a stack trace.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'main.ts');

test.each([
  ['standard output', ['--help'], 0, 1],
  ['standard error', ['no-such-command'], 2, 2],
] as const)('a closed %s', async (_what, args, code, closed) => {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const heard: string[] = [];
  for (const [at, stream] of [child.stdout, child.stderr].entries()) {
    if (at + 1 === closed) stream.destroy();
    else stream.on('data', (piece: Buffer) => heard.push(piece.toString()));
  }
  const ended = await new Promise((resolve) => child.on('close', resolve));
  expect([ended, heard.join('')]).toEqual([code, '']);
});
