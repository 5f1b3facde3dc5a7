/** `concordat verify service`: a live service, each of its nodes judged by its evidence. */
import { parseArgs } from 'node:util';
import type { PolicyFile } from '../../attestation/policy-file.ts';
import type { Judged } from '../../audit/attestation/bundle.ts';
import { type EvidenceSubject, judgeSubject } from '../../audit/attestation/subject.ts';
import { fromHex } from '../../base/portable-bytes.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { CommandIo } from '../command.ts';
import { frontDoorOrigin } from '../node/service-asker.ts';
import { fileBytes, JUDGING_OPTIONS, termsOf, usage } from './judging-options.ts';
import { type LiveService, readService } from './live-service.ts';
import { conclude } from './outcome.ts';
import { fingerprintOf, judgeFront, judgeNode } from './service-checks.ts';
import { EXIT_CODES } from './verdict-exit.ts';
import type { VerifyWorld } from './world.ts';

export const SERVICE_USAGE = `Usage:
  concordat verify service URL --policy FILE [OPTIONS]

URL is the front door of a node, https://HOST:PORT. The evidence of every node that the service
lists is judged, tied to the node's key, and that to the TLS session with the node.

Options:
  --policy FILE               what is accepted (docs/attestation.md)
  --service-certificate PEM   it must be this service
  --allow-insecure-virtual    judge nodes of the virtual platform, which proves nothing; without
                              --policy, only these
  --crl FILE                  a revocation list of AMD's (DER or PEM); may be repeated
  --json                      print JSON
  --html FILE                 write a page for people without a technical background
  --save FILE                 write a bundle of the evidence, for \`verify bundle\`

${EXIT_CODES}`;

const VIRTUAL: PolicyFile = { version: 1, platforms: { virtual: {} } };
const VIRTUAL_ONLY = 'nothing: the virtual platform is allowed, and it proves nothing';

export async function verifyService(
  args: readonly string[],
  io: CommandIo,
  world: VerifyWorld,
): Promise<number> {
  const { at: _now, ...options } = JUDGING_OPTIONS;
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: { ...options, 'service-certificate': { type: 'string' } },
  });
  const [text, ...rest] = positionals;
  if (text === undefined || rest.length > 0) throw usage('say which service, one at a time');
  if (values.policy === undefined && values['allow-insecure-virtual'] !== true) {
    throw usage('--policy says what is accepted: a service is not trusted for being genuine');
  }
  const url = baseOf(text);
  const asked = await termsOf(values, world);
  const terms = values.policy === undefined ? { ...asked.terms, policy: VIRTUAL } : asked.terms;
  const pem = values['service-certificate'];
  const expected =
    pem === undefined ? undefined : new TextDecoder().decode(await fileBytes(pem));
  const service = await readService(url);

  const saved: Judged[] = [];
  const judged: Judged[] = [];
  for (const node of service.nodes) {
    const binding = fromHex(node.nodeId);
    const subject: EvidenceSubject = {
      kind: 'evidence',
      name: `node ${node.nodeId}`,
      evidence: node.evidence,
      ...(binding === undefined ? {} : { binding }),
    };
    const evidence = await judgeSubject(subject, terms, nodeVerifier);
    saved.push({ subject, verdict: evidence });
    judged.push({ subject, verdict: await judgeNode(node, service, evidence, nodeVerifier) });
  }
  const accepted = service.nodes
    .filter((_node, index) => judged[index]?.verdict.accepted === true)
    .map(({ nodeId }) => nodeId);
  const front = await judgeFront(service, accepted, expected, terms.atMs, nodeVerifier);
  return await conclude(
    {
      judged: [...judged, { subject: { name: `session with ${url}` }, verdict: front }],
      saved,
      terms,
      policyName: values.policy === undefined ? VIRTUAL_ONLY : asked.policyName,
      notes: await notesOn(service, accepted, expected !== undefined),
    },
    values,
    io,
  );
}

/** What was shown, and what was not. */
async function notesOn(
  service: LiveService,
  accepted: readonly string[],
  isExpected: boolean,
): Promise<readonly string[]> {
  const { nodes, front } = service;
  const silent = nodes
    .filter(({ answerer }) => answerer === undefined)
    .map(({ nodeId }) => nodeId);
  const fingerprint = await fingerprintOf(front.serviceCertificate, nodeVerifier);
  return [
    `${accepted.length} of the ${nodes.length} nodes that the service lists are accepted`,
    `the SHA-256 of the service's public key is ${fingerprint}` +
      (isExpected ? '' : '; no certificate was named to compare with, so compare it yourself'),
    'that the list of nodes is whole is what the answering node says: it is believed as far as ' +
      'that node is',
    'evidence shows what ran when it was made, at the start of each node; that the same code ' +
      'still runs rests on the key never leaving it',
    ...(silent.length === 0
      ? []
      : [`not seen in use were the keys of nodes that did not answer: ${silent.join(', ')}`]),
  ];
}

function baseOf(text: string): string {
  const origin = frontDoorOrigin(text);
  if (origin !== undefined) return origin;
  throw usage(`${JSON.stringify(text)} is not the front door of a node: https://HOST:PORT`);
}
