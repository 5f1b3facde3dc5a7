/**
 * `concordat node trust ID` and `concordat node remove ID`.
 */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { PLACE_OPTIONS, type PlaceValues, SigningMember, serviceOf } from '../gov/place.ts';
import { usage } from '../gov/usage.ts';
import { sandboxFolder } from '../sandbox/sandbox-folder.ts';
import { sandboxMembers } from '../sandbox/sandbox-members.ts';
import { type NodeOrder, nodeIdOf, orderNode } from './node-orders.ts';
import type { ServiceAsker } from './service-asker.ts';

const OPTIONS = `\
  ID                          the node's id, or the first six digits of it and more
  --data DIR                  a sandbox: its nodes, and the keys of its members, who all vote
  --url URL                   a node's front door, https://HOST:PORT; several may be named
  --service-certificate PEM   the service's certificate
  --member-certificate PEM    the certificate and the key of a member, who proposes it and votes
  --member-key PEM
  --json                      print JSON`;

export const TRUST: Action = {
  name: 'trust',
  usage: `Usage: concordat node trust ID (--data DIR | --url URL --service-certificate PEM
                            --member-certificate PEM --member-key PEM) [--json]

Proposes to let a node in that has asked to join and whose evidence the service found to match its
join policy. Once accepted, it takes part in every decision of the service.

${OPTIONS}`,
  run: (args, io) => run('trust', args, io),
};

export const REMOVE: Action = {
  name: 'remove',
  usage: `Usage: concordat node remove ID (--data DIR | --url URL --service-certificate PEM
                             --member-certificate PEM --member-key PEM) [--json]

Proposes that a node leaves the service for good. Once accepted, it goes on until the others do
without it, then stops.

${OPTIONS}`,
  run: (args, io) => run('remove', args, io),
};

const { as: _all, ...options } = PLACE_OPTIONS;

async function run(order: NodeOrder, args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options,
  });
  const [id, ...rest] = positionals;
  if (id === undefined) throw usage(`say which node to ${order}: its id`);
  if (rest.length > 0) throw usage(`one node at a time, not also ${rest.join(' ')}`);
  const { service, members } = placeOf(values);
  const nodeId = await nodeIdOf(id, service);
  const outcome = await orderNode(order, nodeId, members, Date.now());
  const { status, proposalId, transaction } = outcome;
  if (values.json === true) io.out(JSON.stringify({ ok: true, ...outcome }));
  else if (status === 'Proposed') {
    io.out(`proposal ${proposalId} is open: other members vote on it (concordat gov ballot)`);
  } else io.out(`node ${nodeId} is ${status}, by transaction ${transaction ?? 'unknown'}`);
  return EXIT.good;
}

/** The service and who decides: all members of a sandbox, or the one that is named. */
function placeOf(values: PlaceValues): {
  readonly service: ServiceAsker;
  readonly members: readonly SigningMember[];
} {
  if (values.data === undefined && values.url !== undefined) {
    const member = SigningMember.of(values);
    return { service: member.service, members: [member] };
  }
  const service = serviceOf(values);
  return {
    service,
    members: sandboxMembers(sandboxFolder(resolve(values.data ?? '')), service),
  };
}
