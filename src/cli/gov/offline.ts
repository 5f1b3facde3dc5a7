/**
 * `concordat gov prepare` and `concordat gov finish`: for a member whose key signs elsewhere, in a
 * vault or on a machine without a network. What is to be signed is written down, signed there, and
 * sent from here.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { base64Of, bytesOfBase64, textOf } from '../../base/bytes.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { toBase64Url } from '../../base/portable-bytes.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import { rawSignature } from '../../crypto/ecdsa-digest.ts';
import { readPublicKey } from '../../crypto/public-key.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import { certificateOfPem } from '../../crypto/x509.ts';
import {
  type MessageType,
  memberAlgorithm,
  type PreparedMessage,
  prepareMemberMessage,
  signedBytes,
  withSignature,
} from '../../governance/messages.ts';
import type { Action } from '../action.ts';
import { EXIT } from '../exit-codes.ts';
import { ballotOf, proposalIn } from './decisions.ts';
import { memberCertificate } from './member-key.ts';
import { PLACE_OPTIONS, PLACE_USAGE, postSigned, serviceOf } from './place.ts';
import { usage } from './usage.ts';

/** What `prepare` writes and `finish` reads. */
interface PreparedFile {
  readonly type: MessageType;
  /** Where it goes, below `/gov`. */
  readonly path: string;
  readonly certificate: string;
  /** Base64. */
  readonly protected: string;
  readonly payload: string;
}

export const PREPARE: Action = {
  name: 'prepare',
  usage: `Usage: concordat gov prepare proposal FILE --member-certificate PEM --out FILE
       concordat gov prepare ballot ID (--vote yes|no | --script FILE) …
       concordat gov prepare withdrawal ID …
       concordat gov prepare ack DIGEST …

Writes down what a member is to sign, without its key and without a network, and prints what
signs it in Azure Key Vault: the body of a request to KEY/sign, {"alg": …, "value": …}, whose value
is the digest in base64url. ID is a proposal's whole id; DIGEST is what
GET /gov/members/state-digests/MEMBER shows.

  --out FILE                  for concordat gov finish
  --member-certificate PEM    the certificate of the member who will sign
  --data DIR, --as N          a sandbox, and the number of its member, instead`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: {
        ...{ data: { type: 'string' }, as: { type: 'string' } },
        'member-certificate': { type: 'string' },
        ...{ out: { type: 'string' }, vote: { type: 'string' }, script: { type: 'string' } },
      },
    });
    const { out } = values;
    if (out === undefined) throw usage('--out FILE is missing');
    const certificate = memberCertificate(values);
    const memberId = certificateIdOf(certificate);
    const asked = askedOf(positionals, values, memberId);
    const { type, path, payload, proposalId } = asked;
    const createdAt = Math.floor(Date.now() / 1000);
    const message = { type, createdAt, payload: Buffer.from(payload) };
    const whole = proposalId === undefined ? message : { ...message, proposalId };
    const prepared = prepareMemberMessage(whole, certificate);
    const file: PreparedFile = {
      ...{ type, path, certificate },
      protected: base64Of(prepared.protectedBytes),
      payload: base64Of(prepared.payload),
    };
    writeFileSync(out, `${JSON.stringify(file, undefined, 2)}\n`);
    const { algorithm, hash } = memberAlgorithm(certificate);
    const digest = await nodeVerifier.hash(hash, signedBytes(prepared));
    io.out(JSON.stringify({ alg: algorithm, value: toBase64Url(digest) }));
    return EXIT.good;
  },
};

interface Asked {
  readonly type: MessageType;
  readonly path: string;
  readonly payload: string;
  readonly proposalId?: string;
}

function askedOf(
  [kind, subject, ...rest]: readonly string[],
  { vote, script }: { readonly vote?: string; readonly script?: string },
  memberId: string,
): Asked {
  if (subject === undefined || rest.length > 0) {
    throw usage('say what is prepared: proposal FILE, ballot ID, withdrawal ID or ack DIGEST');
  }
  switch (kind) {
    case 'proposal':
      return {
        ...{ type: 'proposal', path: '/members/proposals:create' },
        payload: proposalIn(subject),
      };
    case 'ballot': {
      const proposalId = wholeId(subject, 'a proposal');
      const path = `/members/proposals/${proposalId}/ballots/${memberId}:submit`;
      const payload = JSON.stringify({ ballot: ballotOf(vote, script) });
      return { type: 'ballot', path, payload, proposalId };
    }
    case 'withdrawal': {
      const proposalId = wholeId(subject, 'a proposal');
      const path = `/members/proposals/${proposalId}:withdraw`;
      return { type: 'withdrawal', path, payload: '', proposalId };
    }
    case 'ack': {
      const stateDigest = wholeId(subject, 'a digest');
      const path = `/members/state-digests/${memberId}:ack`;
      return { type: 'ack', path, payload: JSON.stringify({ stateDigest }) };
    }
    default:
      throw usage(`${JSON.stringify(kind)} is none of proposal, ballot, withdrawal and ack`);
  }
}

function wholeId(text: string, what: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw usage(`${JSON.stringify(text)} is not ${what}: 64 lowercase hexadecimal digits`);
}

export const FINISH: Action = {
  name: 'finish',
  usage: `Usage: concordat gov finish FILE --signature FILE (--data DIR | --url URL …)

Sends what \`concordat gov prepare\` wrote down, with its signature: what Key Vault or \`az keyvault
key sign\` answered (JSON), or the signature's bytes, r and s or DER. It is checked before it is
sent.

  --signature FILE            the signature
${PLACE_USAGE}`,
  run: async (args, io) => {
    const { values, positionals } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: true,
      options: { ...PLACE_OPTIONS, signature: { type: 'string' } },
    });
    const [file, ...rest] = positionals;
    if (file === undefined || rest.length > 0) throw usage('name one FILE');
    if (values.signature === undefined) throw usage('--signature FILE is missing');
    const { type, path, certificate, ...parts } = preparedIn(file);
    const prepared: PreparedMessage = {
      protectedBytes: bytesIn(parts.protected, file),
      payload: bytesIn(parts.payload, file),
    };
    const given = signatureIn(values.signature);
    const signature = await checked(given, prepared, certificate, values.signature);
    const signed = withSignature(prepared, signature);
    const { body } = await postSigned(serviceOf(values), type, path, signed);
    const said: object = body === '' ? {} : JSON.parse(body);
    io.out(JSON.stringify({ ok: true, ...said }));
    return EXIT.good;
  },
};

function preparedIn(file: string): PreparedFile {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw notPrepared(file, messageOf(cause));
  }
  const text = (name: keyof PreparedFile): string => {
    const found: unknown = Reflect.get(Object(value), name);
    if (typeof found === 'string') return found;
    throw notPrepared(file, `it has no text ${name}`);
  };
  const path = text('path');
  if (!/^\/members\/[0-9a-z/:-]+$/.test(path)) throw notPrepared(file, `its path is ${path}`);
  return {
    ...{ type: text('type') as MessageType, path, certificate: text('certificate') },
    ...{ protected: text('protected'), payload: text('payload') },
  };
}

function bytesIn(text: string, file: string): Uint8Array {
  const bytes = bytesOfBase64(text);
  if (bytes === undefined) throw notPrepared(file, 'it holds what is not base64');
  return bytes;
}

function notPrepared(file: string, why: string): CodedError {
  const message = `${file} is not what concordat gov prepare writes: ${why}`;
  return new CodedError('NotPrepared', message, { file });
}

/** The bytes of a signature, in the form in which it came. */
function signatureIn(file: string): Uint8Array {
  const bytes = readFileSync(file);
  let answer: unknown;
  try {
    answer = JSON.parse(textOf(bytes));
  } catch {
    return bytes;
  }
  // What the vault answers, and what `az` makes of it.
  const value: unknown =
    Reflect.get(Object(answer), 'value') ?? Reflect.get(Object(answer), 'signature');
  if (typeof value === 'string') return Buffer.from(value, 'base64url');
  const message = `${file} is JSON without a value: what a vault answers has one`;
  throw new CodedError('NotSigned', message, { file });
}

/** The signature as COSE carries it, r and s of the curve's size, which must be good. */
async function checked(
  given: Uint8Array,
  prepared: PreparedMessage,
  certificate: string,
  file: string,
): Promise<Uint8Array> {
  const { hash } = memberAlgorithm(certificate);
  const { publicKeyDer } = certificateOfPem(certificate);
  const key = readPublicKey(publicKeyDer);
  const message = signedBytes(prepared);
  for (const form of ['raw', 'der'] as const) {
    const signature = key.kind === 'ec' ? rawSignature(given, form, key.curve) : undefined;
    if (signature === undefined) continue;
    const check = { publicKeyDer, signature, encoding: 'raw', hash, message } as const;
    if (await nodeVerifier.ecdsa(check)) return signature;
  }
  const why =
    `${file} holds no signature of this message by the member's key. Sign exactly the digest ` +
    'that concordat gov prepare printed last, with the key of the certificate it was given';
  throw new CodedError('SignatureMismatch', why, { file });
}
