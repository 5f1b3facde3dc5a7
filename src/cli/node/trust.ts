/**
 * `concordat node trust ID` and `concordat node remove ID`.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { CodedError } from '../../base/errors.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { knownNodes, membersOf, sandboxFolder } from '../sandbox/sandbox-folder.ts';
import { type MemberKeyFiles, type NodeOrder, nodeIdOf, orderNode } from './node-orders.ts';
import { ServiceAsker } from './service-asker.ts';

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

async function run(order: NodeOrder, args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: {
      data: { type: 'string' },
      url: { type: 'string', multiple: true },
      'service-certificate': { type: 'string' },
      'member-certificate': { type: 'string' },
      'member-key': { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  const [id, ...rest] = positionals;
  if (id === undefined) throw usage(`say which node to ${order}: its id`);
  if (rest.length > 0) throw usage(`one node at a time, not also ${rest.join(' ')}`);
  const { service, members } = placeOf(values);
  const nodeId = await nodeIdOf(id, service);
  const outcome = await orderNode(order, nodeId, members, service, Date.now());
  const { status, proposalId, transaction } = outcome;
  if (values.json === true) io.out(JSON.stringify({ ok: true, ...outcome }));
  else if (status === 'Proposed') {
    io.out(`proposal ${proposalId} is open: other members vote on it (concordat gov ballot)`);
  } else io.out(`node ${nodeId} is ${status}, by transaction ${transaction ?? 'unknown'}`);
  return EXIT.good;
}

interface PlaceValues {
  readonly data?: string | undefined;
  readonly url?: readonly string[] | undefined;
  readonly 'service-certificate'?: string | undefined;
  readonly 'member-certificate'?: string | undefined;
  readonly 'member-key'?: string | undefined;
}

function placeOf(values: PlaceValues): {
  readonly service: ServiceAsker;
  readonly members: readonly MemberKeyFiles[];
} {
  if (values.data !== undefined) {
    const folder = sandboxFolder(resolve(values.data));
    const urls = knownNodes(folder.path).map(({ url }) => url);
    const pem = readFileSync(folder.serviceCertificate, 'utf8');
    return { service: new ServiceAsker(urls, pem), members: membersOf(folder) };
  }
  const needed = (name: keyof PlaceValues): string => {
    const value = values[name];
    if (typeof value === 'string') return value;
    throw usage(`--${name} is missing (or name a sandbox with --data)`);
  };
  if (values.url === undefined) throw usage('--url or --data says where the service is');
  const certificate = needed('member-certificate');
  const key = needed('member-key');
  const pem = readFileSync(needed('service-certificate'), 'utf8');
  return {
    service: new ServiceAsker(values.url.map(baseOf), pem),
    members: [{ certificate, key }],
  };
}

function baseOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'https:' && url.pathname === '/') return url.origin;
  throw usage(`--url is ${JSON.stringify(text)}; it is a node's front door, https://HOST:PORT`);
}

function usage(why: string): CodedError {
  return new CodedError('Usage', why);
}
