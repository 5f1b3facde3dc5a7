/**
 * `concordat federation status`: the peers outside as a service's nodes know them, and what waits
 * for them.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../base/errors.ts';
import type { FederationStatus } from '../federation/federation.ts';
import type { Command } from './command.ts';
import { EXIT } from './exit-codes.ts';
import { askOperatorListener, operatorOrigin } from './operator-asker.ts';
import { DATA_DEFAULT } from './sandbox/sandbox-arguments.ts';
import { knownNodes } from './sandbox/sandbox-folder.ts';

const USAGE = `Usage: concordat federation status [--operator URL… | --data DIR] [--json]

Shows with whom a service speaks Tessera's protocol: each peer, the keys it has shown to hold, the
deliveries that wait for it, and what went wrong last. The primary speaks with them; if it is not
among the nodes asked, only what the ledger says is shown. Exit code 1 if deliveries wait for a
peer that fails.

  --operator URL   the operator's listener of a node, http://HOST:PORT; once for each node
  --data DIR       the nodes of the sandbox in DIR (default: ${DATA_DEFAULT})
  --json           one line of JSON`;

export const command: Command = {
  name: 'federation',
  summary: 'show the Tessera nodes outside that a service speaks with',
  usage: USAGE,
  run: async ([action, ...args], io) => {
    if (action !== 'status') {
      const said = action === undefined ? 'nothing' : JSON.stringify(action);
      throw new CodedError('Usage', `say what to do: status; not ${said}`);
    }
    const { values } = parseArgs({
      args,
      strict: true,
      allowPositionals: false,
      options: {
        operator: { type: 'string', multiple: true },
        data: { type: 'string' },
        json: { type: 'boolean' },
      },
    });
    if (values.operator !== undefined && values.data !== undefined) {
      throw new CodedError('Usage', '--data and --operator both say which nodes: give one');
    }
    const data = resolve(values.data ?? DATA_DEFAULT);
    const named = values.operator?.map((text) => operatorOrigin('--operator', text));
    const urls = named ?? knownNodes(data).map(({ operatorUrl }) => operatorUrl);
    const status = await statusOf(urls);
    io.out(values.json === true ? JSON.stringify(status) : render(status));
    const fails = status.peers.some(({ waiting, error }) => waiting > 0 && error !== undefined);
    return fails ? EXIT.bad : EXIT.good;
  },
};

/** What the primary says; what any node says if the primary is not among them. */
async function statusOf(urls: readonly string[]): Promise<FederationStatus> {
  const asked = await Promise.all(
    urls.map(async (url) => {
      try {
        return { url, status: await ask(`${url}/federation`) };
      } catch (error) {
        return { url, fault: messageOf(error) };
      }
    }),
  );
  const found = asked.flatMap(({ status }) => status ?? []);
  const best = found.find(({ isPrimary }) => isPrimary) ?? found[0];
  if (best !== undefined) return best;
  const faults = asked.map(({ url, fault }) => `${url}: ${fault}`).join('; ');
  throw new CodedError('NoAnswer', `no node tells of federation: ${faults}`);
}

async function ask(url: string): Promise<FederationStatus> {
  const { status, text } = await askOperatorListener(url);
  if (status === 404) throw new Error('federation is not configured there');
  if (status !== 200) throw new Error(`it answers ${status}`);
  return JSON.parse(text) as FederationStatus;
}

function render(status: FederationStatus): string {
  const { url, send, keyValidation, outbox, counters, isPrimary, lastError } = status;
  const lines = [
    `Peers reach the service at ${url}. Sends are ${send}.`,
    ...(keyValidation ? [] : ['INSECURE: peers need not show that they hold their keys.']),
    `${outbox} in the outbox; delivered ${counters.delivered}, refused by peers ` +
      `${counters.refusedByPeers}, failed ${counters.failed}; taken in ${counters.accepted}, ` +
      `ignored ${counters.ignored}, refused ${counters.refused}.`,
  ];
  if (!isPrimary) lines.push('This is not the primary: it knows what the ledger says.');
  if (lastError !== undefined) lines.push(`Last error: ${lastError}`);
  for (const peer of status.peers) {
    const { answeredSecondsAgo: ago, waiting, error } = peer;
    const seen = ago === undefined ? 'has not answered yet' : `answered ${ago} s ago`;
    lines.push('', `${peer.url}  ${seen}, ${waiting} waiting`);
    for (const key of peer.keys) lines.push(`  ${key}`);
    if (error !== undefined) lines.push(`  ${error}`);
  }
  return lines.join('\n');
}
