/** The systemd unit, judged by systemd itself where it is installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';

const UNIT = readFileSync(
  join(import.meta.dirname, '../../deploy/systemd/concordat-connector.service'),
  'utf8',
);
/** systemd's own measure, from 0 to 10: up to here it says that a unit is well confined. */
const EXPOSURE_MAX = 2;

const folder = mkdtempSync(join(tmpdir(), 'systemd-'));
const path = join(folder, 'concordat-connector.service');
const version = analyze('--version');
const isThere = version.error === undefined && version.status === 0;
if (!isThere) console.log('systemd-analyze is not here: the unit is not judged');

// The program it starts must exist for systemd to be content.
writeFileSync(path, UNIT.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function analyze(...args: readonly string[]): ReturnType<typeof spawnSync> {
  return spawnSync('systemd-analyze', args, { encoding: 'utf8' });
}

test.skipIf(!isThere)('systemd finds nothing wrong with the unit', () => {
  const { status, stderr } = analyze('verify', path);
  expect([status, stderr]).toEqual([0, '']);
});

test.skipIf(!isThere)('the unit is well confined, by systemd’s measure', () => {
  const { stdout } = analyze('security', '--offline=true', '--no-pager', path);
  const exposure = /exposure level for \S+: ([\d.]+)/.exec(String(stdout))?.[1];
  expect(Number(exposure)).toBeLessThanOrEqual(EXPOSURE_MAX);
});
