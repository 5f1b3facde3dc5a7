// A headless Chromium, if there is one: it opens a page of ours and hands back what the page sends.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type TestFunction, test } from 'vitest';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'chrome-headless-shell'];
const NONE = 'no Chromium: set CONCORDAT_CHROMIUM to its path';
const ANSWER_MS_MAX = 120_000;

/** A test that needs a browser; without one it is skipped aloud. */
export function testWithChromium(title: string, body: TestFunction): void {
  if (chromium() !== undefined) {
    test(title, { timeout: 2 * ANSWER_MS_MAX }, body);
    return;
  }
  console.warn(`SKIPPED "${title}": ${NONE}`);
  test.skip(`${title} [SKIPPED: ${NONE}]`, body);
}

function chromium(): string | undefined {
  const named = process.env.CONCORDAT_CHROMIUM;
  if (named !== undefined && named !== '') {
    if (existsSync(named)) return named;
    throw new Error(`CONCORDAT_CHROMIUM is ${named}, which does not exist`);
  }
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(existsSync);
}

/** Serves files on loopback and opens `/` there; resolves to what the page posts to `/done`. */
export async function answerOfPage(files: Readonly<Record<string, string>>): Promise<string> {
  const path = chromium();
  if (path === undefined) throw new Error(NONE);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const server = createServer((request, response) => {
    if (request.url === '/done') {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        response.end();
        resolve(Buffer.concat(chunks).toString());
      });
      return;
    }
    const body = files[request.url ?? ''];
    const isScript = request.url?.endsWith('.js') === true;
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.statusCode = body === undefined ? 404 : 200;
    response.end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  const { port } = server.address() as AddressInfo;
  const child = opened(path, profile, `http://127.0.0.1:${port}/`, reject);
  const timer = setTimeout(() => reject(new Error('the page never answers')), ANSWER_MS_MAX);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await ended(child);
    server.closeAllConnections();
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

function opened(
  path: string,
  profile: string,
  url: string,
  fail: (error: Error) => void,
): ChildProcess {
  const flags = [
    ...['--headless', '--disable-gpu', '--no-first-run', '--disable-background-networking'],
    ...[`--user-data-dir=${profile}`, '--remote-debugging-port=0'],
    // Its own sandbox cannot be had by root, as whom containers often run; the page is ours.
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
  ];
  const child = spawn(path, [...flags, url], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4000);
  });
  child.on('error', fail);
  child.on('exit', (code) => fail(new Error(`Chromium ended with ${code}: ${said}`)));
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
