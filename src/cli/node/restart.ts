/**
 * `concordat node restart --accept-unproven`: what an operator says to a node that waits because
 * nobody can show that its files are the newest (design decision 11).
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError, messageOf } from '../../base/errors.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { askOperatorListener, operatorOrigin } from '../operator-asker.ts';
import { knownNodes } from '../sandbox/sandbox-folder.ts';

export const RESTART: Action = {
  name: 'restart',
  usage: `Usage: concordat node restart --accept-unproven (--operator URL… | --data DIR) [--json]

Lets nodes go on that started again and wait for others, which may never come back, to show that
their files are the newest. If they are not, what was committed since is lost: connectors that saw
it will refuse the service. All nodes that are to go on must be told.

  --accept-unproven   say that this is understood
  --operator URL      the operator's listener of a waiting node, http://HOST:PORT
  --data DIR          all nodes of the sandbox in DIR that can be reached
  --json              print JSON`,
  run,
};

async function run(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: false,
    options: {
      'accept-unproven': { type: 'boolean' },
      operator: { type: 'string', multiple: true },
      data: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  if (values['accept-unproven'] !== true) {
    throw new CodedError('Usage', '--accept-unproven is missing: read what it means first');
  }
  if ((values.operator === undefined) === (values.data === undefined)) {
    throw new CodedError('Usage', 'say which nodes: --operator URL or --data DIR');
  }
  const named = values.operator?.map((text) => operatorOrigin('--operator', text));
  const urls = named ?? operatorUrls(values.data ?? '');
  const told = await Promise.all(urls.map((url) => tell(url)));
  for (const { url, waited, waitedFor, fault } of values.json === true ? [] : told) {
    const whom = waitedFor.length === 0 ? '' : `; it waited for ${waitedFor.join(', ')}`;
    if (fault !== undefined) io.err(`${url}: ${fault}`);
    else io.out(waited ? `${url} goes on${whom}` : `${url} did not wait for anybody`);
  }
  const ok = told.some(({ fault }) => fault === undefined);
  if (values.json === true) io.out(JSON.stringify({ ok, nodes: told }));
  return ok ? EXIT.good : EXIT.bad;
}

function operatorUrls(data: string): readonly string[] {
  return knownNodes(resolve(data)).map(({ operatorUrl }) => operatorUrl);
}

interface Told {
  readonly url: string;
  readonly waited: boolean;
  readonly waitedFor: readonly string[];
  readonly fault?: string;
}

async function tell(url: string): Promise<Told> {
  try {
    const json = '{"accept_unproven": true}';
    const { status, text } = await askOperatorListener(`${url}/restart`, { json });
    if (status !== 200) throw new Error(`it answers ${status}: ${text.trim()}`);
    const { waited, waitedFor } = JSON.parse(text) as Omit<Told, 'url'>;
    return { url, waited, waitedFor };
  } catch (error) {
    return { url, waited: false, waitedFor: [], fault: messageOf(error) };
  }
}
