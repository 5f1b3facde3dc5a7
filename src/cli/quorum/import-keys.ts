/**
 * `concordat quorum import-keys`: private party keys, handed to the service. They are the one thing
 * of a migration that is readable, so they go where a connector's requests go: to nodes whose
 * evidence was judged.
 */

import { base64Of } from '../../base/bytes.ts';
import { CodedError } from '../../base/errors.ts';
import { judgeBy } from '../../client/node-judge.ts';
import { SeenTransactions } from '../../client/seen-transactions.ts';
import { SessionPool } from '../../client/session-pool.ts';
import { systemTimers } from '../../client/system-timers.ts';
import { Relay } from '../../connector/relay.ts';
import { systemRandom } from '../../crypto/random.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { realClock } from '../../node/real-time.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { optionsOf, parse, policyOf, settingsOf } from '../connector/settings.ts';
import { EXIT } from '../exit-codes.ts';
import { type PartyKeysByOrganisation, readPartyKeys } from '../node/party-keys-file.ts';

export const IMPORT_KEYS: Action = {
  name: 'import-keys',
  usage: `Usage: concordat quorum import-keys PARTY-KEYS.json --config CONNECTOR.json [--json]

Hands the private halves of party keys to the service, as their organisation: each key must be one
that governance has given it (add_party_key). PARTY-KEYS.json is what import-config wrote. It takes
a connector's configuration or flags (concordat connector --help), and like a connector it says
nothing to a node whose attestation evidence --attestation-policy does not accept.

Exit codes: 0 the service has all of them, 1 one was refused, 3 the service cannot be reached.`,
  async run([file, ...flags], io) {
    if (file === undefined || file.startsWith('--')) {
      throw new CodedError('Usage', 'name a file: import-keys PARTY-KEYS.json --config FILE');
    }
    const { values } = parse(flags);
    const settings = await settingsOf(values);
    const { service } = await optionsOf(settings);
    const judge = judgeBy(await policyOf(settings), {
      verifier: nodeVerifier,
      clock: realClock,
      onRefused: (message) => io.err(message),
    });
    const keys = readPartyKeys(file, Number.MAX_SAFE_INTEGER);
    const seen = new SeenTransactions();
    const timers = systemTimers;
    const pool = new SessionPool(service, { timers, seen, judge, onLoss: () => undefined });
    const relay = new Relay({
      ...{ nodes: pool, seen, timers, random: systemRandom },
      log: (line) => io.err(line),
    });
    // The relay's own timers hold no process up while it looks for a node.
    const awake = setInterval(() => undefined, 1_000);
    try {
      return await handOver(keys, relay, values.json === true, io);
    } finally {
      clearInterval(awake);
      pool.close();
    }
  },
};

async function handOver(
  keys: PartyKeysByOrganisation,
  relay: Relay,
  asJson: boolean,
  io: CommandIo,
): Promise<number> {
  const outcomes: { readonly publicKey: string; readonly outcome: string }[] = [];
  for (const { publicKey, privateKey } of [...keys.values()].flat()) {
    const body = { publicKey: base64Of(publicKey), privateKey: base64Of(privateKey) };
    const { status, body: answered } = await relay.ask(
      {
        method: 'POST',
        target: '/app/quorum/import/key',
        headerLines: 'content-type: application/json\r\naccept: application/json\r\n',
        body: Buffer.from(JSON.stringify(body)),
      },
      systemTimers.elapsedMs(),
      () => !io.signal.aborted,
    );
    const outcome = status === 200 ? outcomeIn(answered) : `refused: ${status} ${answered}`;
    outcomes.push({ publicKey: body.publicKey, outcome });
  }
  const ok = outcomes.every(({ outcome }) => !outcome.startsWith('refused'));
  if (asJson) io.out(JSON.stringify({ ok, keys: outcomes }));
  else for (const { publicKey, outcome } of outcomes) io.out(`${publicKey}  ${outcome}`);
  return ok ? EXIT.good : EXIT.bad;
}

function outcomeIn(answered: Buffer): string {
  const { outcome } = JSON.parse(answered.toString('utf8')) as { outcome?: unknown };
  return String(outcome);
}
