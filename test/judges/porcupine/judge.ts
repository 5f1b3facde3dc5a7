// Builds and runs the judge of client histories (README.md beside this file). It is an outside
// judge, so where `go` or Porcupine cannot be had, it is skipped aloud.

import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type TestFunction, test } from 'vitest';
import { runJudge } from '../../support/judges.ts';

/** What the judge said of a history. */
export interface Verdict {
  readonly verdict: 'good' | 'violation' | 'bad input' | 'undecided';
  /** The promises that were broken, each once. */
  readonly broken: readonly string[];
  /** All that it said, for people. */
  readonly text: string;
  readonly figures: Readonly<Record<string, number>>;
}

const FOLDER = import.meta.dirname;
const CACHE = resolve(FOLDER, '../../../node_modules/.cache/porcupine-judge');
const VERDICTS = ['good', 'violation', 'bad input', 'undecided'] as const;

type Built = { readonly program: string } | { readonly missing: string };
let built: Built | undefined;

/** The judge's program, or why there is none. A judge that does not compile is an error. */
export function porcupineJudge(): Built {
  built ??= build();
  return built;
}

/** Judges the history in a file; `picture` is drawn when some register's calls have no order. */
export async function judgeHistory(file: string, picture?: string): Promise<Verdict> {
  const judge = porcupineJudge();
  if ('missing' in judge) throw new Error(judge.missing);
  const drawing = picture === undefined ? [] : ['--html', picture];
  const { code, stdout, stderr } = await runJudge(judge.program, [...drawing, file]);
  const verdict = VERDICTS[code];
  if (verdict === undefined) throw new Error(`the judge failed (${code}): ${stderr}`);
  const broken = [...stdout.matchAll(/^VIOLATION (\w+):/gm)].map(([, promise = '']) => promise);
  const figures = verdict === 'bad input' ? {} : JSON.parse(lastLineOf(stdout));
  return { verdict, broken: [...new Set(broken)], text: stdout + stderr, figures };
}

/** A test that needs the judge. */
export function testWithPorcupine(title: string, body: TestFunction, timeoutMs?: number): void {
  const judge = porcupineJudge();
  if ('program' in judge) {
    test(title, body, timeoutMs);
    return;
  }
  console.warn(`SKIPPED "${title}": ${judge.missing}`);
  test.skip(`${title} [SKIPPED: ${judge.missing}]`, body);
}

function build(): Built {
  const version = go(['version']);
  if (version.status !== 0) return { missing: 'no Porcupine: there is no `go` in PATH' };
  const sources = readdirSync(FOLDER).filter((name) => /\.go$|^go\.(mod|sum)$/.test(name));
  const hash = createHash('sha256').update(version.stdout);
  for (const name of sources.sort()) hash.update(name).update(readFileSync(join(FOLDER, name)));
  const program = join(CACHE, `judge-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return { program };
  const module = go(['mod', 'download']);
  if (module.status !== 0) {
    return {
      missing: `no Porcupine: its Go module cannot be had (${lastLineOf(module.stderr)})`,
    };
  }
  mkdirSync(CACHE, { recursive: true });
  // Several test files may build it at once; each gives a whole file the name.
  const own = `${program}.${process.pid}`;
  const outcome = go(['build', '-o', own, '.']);
  if (outcome.status !== 0) throw new Error(`the judge does not compile: ${outcome.stderr}`);
  renameSync(own, program);
  return { program };
}

function go(args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync('go', args, {
    cwd: FOLDER,
    encoding: 'utf8',
    env: {
      ...process.env,
      GOFLAGS: '-mod=readonly -buildvcs=false',
      // No other compiler is fetched: an old one is told as what it is.
      GOTOOLCHAIN: 'local',
      GOWORK: 'off',
    },
  });
}

function lastLineOf(text: string | null): string {
  return (text ?? '').trim().split('\n').at(-1) ?? '';
}
