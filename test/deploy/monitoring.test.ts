/**
 * To show: each alert leads to its entry in the runbook, and alerts and dashboard ask for nothing
 * that a node or a connector does not export. What they export is scraped from running ones.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { ReadyLine } from '../../src/cli/sandbox/ready-line.ts';
import { type RunningProgram, startSandboxProgram } from '../support/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly runbook: string };
}

const { groups } = parse(read('deploy/monitoring/alerts.yaml')) as {
  readonly groups: readonly { readonly rules: readonly Alert[] }[];
};
const alerts = groups.flatMap(({ rules }) => rules);
const dashboard = JSON.parse(read('deploy/monitoring/dashboard.json')) as {
  readonly panels: readonly {
    readonly id: number;
    readonly title: string;
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number };
    readonly targets: readonly { readonly expr: string }[];
  }[];
};
const runbook = read('docs/runbook.md');

/** Names of figures in an expression of PromQL. */
const figuresIn = (expression: string): readonly string[] => [
  ...(expression.match(/\b(?:concordat|tessera)_\w+/g) ?? []),
];

const folder = mkdtempSync(join(tmpdir(), 'concordat-monitoring-'));
let sandbox: RunningProgram<ReadyLine>;
const exported = new Map<string, string>();

beforeAll(async () => {
  sandbox = await startSandboxProgram(['--data', folder, '--organisations', '1']);
  const [organisation] = sandbox.ready.organisations;
  const connector = organisation?.transactionManager.url ?? '';
  // Figures of a path are there once it was asked for, whatever the answer.
  await fetch(`${connector}/send`, { method: 'POST', body: '{}' });
  const operators = sandbox.ready.nodes.map(({ operator }) => operator.url);
  for (const url of [connector, ...operators]) {
    const text = await (await fetch(`${url}/metrics`)).text();
    for (const [, name = '', labels = ''] of text.matchAll(/^([a-zA-Z_]\w*)(\{[^}]*\})? /gm)) {
      exported.set(name, `${exported.get(name) ?? ''}${labels}`);
    }
  }
});

afterAll(async () => {
  await sandbox.stop();
  rmSync(folder, { recursive: true, force: true });
});

describe('alerts', () => {
  test('are about a dozen, each with a name of its own', () => {
    expect(alerts.length).toBeGreaterThanOrEqual(12);
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });

  test.each(alerts)('$alert leads to its entry, which says what to do', (one) => {
    const [file = '', anchor] = one.annotations.runbook.split('#');
    const entries = read(file).split(/^## /m).slice(1);
    const entry = entries.find((text) => text.split('\n')[0]?.toLowerCase() === anchor);
    expect(entry, `no entry ${anchor}`).toMatch(new RegExp(`^${one.alert}\n`));
    expect(entry?.split(/\s+/).length).toBeGreaterThan(25);
    expect(one.annotations.summary).toMatch(/\.$/);
    expect(['warning', 'critical']).toContain(one.labels.severity);
  });

  test.each(alerts)('$alert asks for what is exported', ({ expr }) => {
    const figures = figuresIn(expr);
    expect(figures.length).toBeGreaterThan(0);
    for (const figure of figures) expect([...exported.keys()]).toContain(figure);
    for (const [, figure = '', label = '', value = ''] of expr.matchAll(
      /(\w+)\{(\w+)="([^"]+)"\}/g,
    )) {
      expect(exported.get(figure), `${figure} by ${label}`).toContain(`${label}="${value}"`);
    }
  });

  test('the runbook has no entry that no alert leads to', () => {
    const entries = [...runbook.matchAll(/^## (.+)$/gm)].map(([, name]) => name);
    expect(entries).toEqual(alerts.map(({ alert }) => alert));
  });
});

describe('the dashboard', () => {
  test.each(dashboard.panels)('$title shows what is exported', ({ targets }) => {
    for (const figure of targets.flatMap(({ expr }) => figuresIn(expr))) {
      expect([...exported.keys()]).toContain(figure);
    }
    expect(targets.length).toBeGreaterThan(0);
  });

  test('puts no panel over another', () => {
    const places = dashboard.panels.map(({ gridPos: { x, y } }) => `${x},${y}`);
    expect(new Set(places).size).toBe(places.length);
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(places.length);
  });
});
