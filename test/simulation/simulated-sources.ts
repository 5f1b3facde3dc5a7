// The service as a joiner sees it, without HTTP: the shipped endpoint of joining is run on the node
// that is asked, and files are those that the node offers.

import type { AppRequest } from '../../src/apps/interface.ts';
import { bufferOf, textOf, utf8 } from '../../src/base/bytes.ts';
import { isCoded } from '../../src/base/errors.ts';
import { seqnoOf } from '../../src/base/ids.ts';
import { certificateIdOf } from '../../src/crypto/certificates.ts';
import { endorseRequest } from '../../src/crypto/endorsement.ts';
import type { KeySource } from '../../src/crypto/key-source.ts';
import type { JoinDesk } from '../../src/http/join-desk.ts';
import { joinEndpoint } from '../../src/http/join-endpoint.ts';
import {
  type JoinerCredentials,
  type JoinReply,
  type JoinSource,
  type JoinSources,
  type OfferedDownload,
  unreachable,
} from '../../src/node/joining/join-source.ts';
import { nodeJudge } from '../../src/node/own-evidence.ts';
import type { RunningNode } from '../../src/node/running-node.ts';
import type { Machine } from './machine.ts';
import type { World } from './world.ts';

const SILENCE_MS = 3_000;

export interface SourcesWorld {
  readonly world: World;
  readonly keys: KeySource;
  readonly machines: () => readonly Machine[];
}

/** Where a machine serves clients. */
export const clientAddressOf = ({ host }: Machine): string => `${host}:8000`;

/** What a node lends a joiner, as `desksOf` in the node has it. */
export function deskOf(node: RunningNode, keys: KeySource): JoinDesk {
  const { serviceKey: key } = node.secretsForJoiners();
  const service = { key, certificatePem: node.serviceCertificatePem };
  return {
    startupSeqno: seqnoOf(0),
    secrets: () => node.secretsForJoiners().ledgerSecrets,
    serviceKey: () => key.pkcs8(),
    wrapTo: keys.wrapTo,
    coseSignatures: { issuer: 'concordat', subject: 'ledger.signature' },
    judge: nodeJudge({ clock: { nowMs: () => 0 } }),
    endorse: (requestPem, validity) => endorseRequest(keys, requestPem, validity, service),
  };
}

export function simulatedSources(
  parts: SourcesWorld,
  credentials: JoinerCredentials,
): JoinSources {
  return {
    at: (address) => sourceAt(parts, credentials, address),
    close: () => undefined,
  };
}

function sourceAt(
  { world, keys, machines }: SourcesWorld,
  { certificatePem }: JoinerCredentials,
  address: string,
): JoinSource {
  /** Has a node do something; rejects when there is no node, or no answer from it. */
  const asked = async <Result>(
    work: (node: RunningNode) => Promise<Result>,
  ): Promise<Result> => {
    const machine = machines().find((each) => clientAddressOf(each) === address);
    const { node, process } = machine ?? {};
    if (node === undefined || process === undefined) throw unreachable(address, 'no answer');
    return await new Promise<Result>((resolve, reject) => {
      world.timeline.after(SILENCE_MS, () => reject(unreachable(address, 'silence')));
      world.timeline.after(world.chance.next() * 3, () =>
        process.deliver(() => {
          work(node).then(
            (result) => {
              if (!process.isDead)
                world.timeline.after(world.chance.next() * 3, () => resolve(result));
            },
            (error: unknown) => {
              if (isCoded(error) || isDiskError(error)) {
                reject(unreachable(address, 'it failed', error));
              } else world.fail(error);
            },
          );
        }),
      );
    });
  };
  const offered = async (
    folder: 'snapshots' | 'ledger',
    find: (node: RunningNode) => string | undefined,
  ): Promise<OfferedDownload | undefined> =>
    await asked(async (node) => {
      const name = find(node);
      if (name === undefined) return undefined;
      const file = await node.files.look({ folder, name, digests: ['sha-256'] });
      if (file === undefined) return undefined;
      const sha256 = file.digests.get('sha-256');
      return {
        name,
        bytes: file.bytes,
        ...(sha256 === undefined ? {} : { sha256 }),
        read: (from, to) =>
          asked(async () => {
            const pieces: Uint8Array[] = [];
            for await (const piece of file.part(from, to).pieces()) pieces.push(piece);
            return Buffer.concat(pieces);
          }),
      };
    });
  return {
    address,
    join: (body) =>
      asked(async (node): Promise<JoinReply> => {
        const request: AppRequest = {
          ...{ verb: 'POST', path: '/join', params: {}, query: '', body },
          header: () => undefined,
          caller: {
            policy: 'any_cert',
            id: certificateIdOf(certificatePem),
            certificatePem,
          },
        };
        const options = { waitForCommit: false, linearizable: false };
        const endpoint = joinEndpoint(node, deskOf(node, keys));
        const { response } = await node.run(endpoint, request, options);
        return replyOf(response.status, response.headers ?? {}, response.body);
      }),
    addresses: async () =>
      machines()
        .filter(({ node }) => node)
        .map(clientAddressOf),
    statusOf: (txId) => asked(async (node) => node.statusOf(txId)),
    newestSnapshot: () => offered('snapshots', (node) => node.files.newestSnapshot()?.name),
    chunkWith: (seqno) => offered('ledger', (node) => node.files.chunkWith(seqno)),
  };
}

function replyOf(
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | string = '',
): JoinReply {
  const bytes = typeof body === 'string' ? utf8(body) : body;
  if (status === 200) return { kind: 'answer', body: bytes };
  const location = /^https:\/\/([^/]+)\//.exec(headers.location ?? '')?.[1];
  if (status === 308 && location !== undefined) return { kind: 'elsewhere', address: location };
  const { error } = JSON.parse(textOf(bufferOf(bytes))) as {
    error: { code: string; message: string };
  };
  return { kind: 'refused', status, ...error };
}

function isDiskError(error: unknown): boolean {
  return error instanceof Error && 'code' in error;
}
