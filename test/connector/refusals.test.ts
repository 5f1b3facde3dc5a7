/**
 * To show: each refusal is one line that says who, what and why; no payload ever gets there; and
 * nobody fills a disk by being refused.
 */
import { describe, expect, test } from 'vitest';
import { askedFor, RefusalLog } from '../../src/base/refusal-log.ts';
import { UNJUDGED } from '../../src/client/node-judge.ts';
import { startConnector } from '../../src/connector/connector.ts';
import { ManualTime } from '../support/manual-time.ts';
import { startTlsService } from '../support/tls-service.ts';

const CANARY = 'canary-in-a-payload';

describe('the lines of refusals', () => {
  test('are written once a minute for the same, with how often', () => {
    const [lines, time]: [string[], ManualTime] = [[], new ManualTime()];
    const log = new RefusalLog((line) => lines.push(line), time);
    for (let times = 0; times < 5; times += 1) log.note('a', 'GET /x', 'no');
    log.note('a', 'GET /y', 'no');
    expect(lines).toEqual(['refused a: GET /x: no', 'refused a: GET /y: no']);
    time.advance(60_000);
    log.note('a', 'GET /x', 'no');
    expect(lines[2]).toBe('refused a: GET /x: no (and 4 times more since it was said)');
    expect(log.count).toBe(7);
  });

  test('hold no queries, and are one line of visible characters whatever is asked', () => {
    expect(askedFor('GET', `/a?payload=${CANARY}`)).toBe('GET /a');
    expect(askedFor('GET', '/a\n2026 all is well\u001b[2J')).toBe(
      'GET /a 2026 all is well [2J',
    );
    expect(askedFor('GET', `/${'a'.repeat(999)}`).length).toBeLessThan(130);
  });

  test('of the service name its reason only where that cannot repeat what was sent', async () => {
    const lines: string[] = [];
    const service = await startTlsService((seen, reply) => {
      const status = Number(/(\d{3})(?:\?|$)/.exec(seen.url)?.[1] ?? 200);
      reply.head(status, { 'content-type': 'text/plain' }).end(`no: ${CANARY}`);
    });
    const { certificate, key } = service.client;
    const { url: node, certificate: serviceCertificate } = service;
    const connector = await startConnector(
      {
        service: { nodeUrls: [node], serviceCertificate, certificate, key },
        http: { port: 0 },
      },
      { log: (line) => lines.push(line), judge: UNJUDGED },
    );
    const ask = async (status: number): Promise<void> => {
      await fetch(`${connector.url}/transaction/${status}?a=${CANARY}`, {
        method: 'DELETE',
        body: CANARY,
      });
    };
    for (const status of [200, 404, 400, 422, 413]) await ask(status);
    expect(lines.join('\n')).not.toContain(CANARY);
    expect(lines).toEqual(
      [400, 422, 413].map(
        (status) =>
          `refused 127.0.0.1 (q2t): DELETE /transaction/${status}: the service says ${status}`,
      ),
    );
    await ask(403);
    expect(lines.at(-1)).toContain(`the service says 403 no: ${CANARY}`);
    const figures = await (await fetch(`${connector.url}/metrics`)).text();
    expect(figures).toContain('concordat_connector_refusals_total 4\n');
    expect(figures).toContain('concordat_connector_answers_4xx_total 5\n');
    await connector.close();
    await service.stop();
  });
});
