// The operator's listener: figures for Prometheus, readiness, and nothing else.

import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { registerFrontDoorMetrics } from '../../src/http/front-door-metrics.ts';
import {
  createOperatorListener,
  type OperatorListener,
} from '../../src/http/operator-listener.ts';
import { askOnce, RawClient } from './client.ts';
import { type House, openHouse } from './house.ts';

let house: House;
let listener: OperatorListener;
let base: string;
let ready = true;
let faults: unknown[];
let registry: Registry;

beforeEach(async () => {
  house = await openHouse();
  registry = new Registry();
  registerFrontDoorMetrics(registry, () => house.door.stats());
  faults = [];
  listener = createOperatorListener({
    registry,
    isReady: () => ready,
    onFault: (fault) => faults.push(fault),
  });
  const { host, port } = await listener.listen('127.0.0.1', 0);
  base = `http://${host}:${port}`;
});

afterEach(async () => {
  await listener.close();
  await house.close();
});

test('the figures are those of the front door at that moment', async () => {
  const client = await RawClient.connect(house);
  await client.ask('GET', '/app/commit');
  await client.ask('GET', '/app/nope');
  for (let scrape = 0; scrape < 2; scrape += 1) {
    const response = await fetch(`${base}/metrics`);
    const text = await response.text();
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    // Scraping twice adds nothing.
    expect(text).toContain('concordat_http_answers_total{status="2xx"} 1\n');
    expect(text).toContain('concordat_http_answers_total{status="4xx"} 1\n');
    expect(text).toContain('concordat_http_sessions 1\n');
    expect(text).toContain('concordat_http_sessions_dropped_total 0\n');
  }
  client.close();
});

test('ready follows the node', async () => {
  ready = true;
  expect((await fetch(`${base}/ready`)).status).toBe(200);
  ready = false;
  expect((await fetch(`${base}/ready`)).status).toBe(503);
});

test('nothing else is there, and nothing can be done', async () => {
  expect((await fetch(`${base}/`)).status).toBe(404);
  const post = await fetch(`${base}/metrics`, { method: 'POST' });
  expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
});

test('a metric that cannot be read is a 500 and a fault, not the end', async () => {
  registry.registerMetric({
    name: 'broken',
    get: () => Promise.reject(new Error('cannot read')),
  } as never);
  expect((await fetch(`${base}/metrics`)).status).toBe(500);
  expect(faults).toHaveLength(1);
  expect((await fetch(`${base}/ready`)).status).toBe(503);
});

test('the front door knows nothing of it', async () => {
  expect((await askOnce(house, undefined, 'GET', '/metrics')).status).toBe(404);
});
