/** `concordat verify token`: a token of Microsoft Azure Attestation, judged offline. */
import { parseArgs } from 'node:util';
import { readMaaKeys } from '../../attestation/maa-keys.ts';
import { judgeSubject, type TokenSubject } from '../../audit/attestation/subject.ts';
import { CodedError } from '../../base/errors.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { CommandIo } from '../command.ts';
import {
  fileBytes,
  JUDGING_OPTIONS,
  JUDGING_USAGE,
  termsOf,
  usage,
} from './judging-options.ts';
import { conclude } from './outcome.ts';
import { EXIT_CODES } from './verdict-exit.ts';
import type { VerifyWorld } from './world.ts';

export const TOKEN_USAGE = `Usage:
  concordat verify token FILE --issuer URL --jwks FILE [OPTIONS]

FILE holds a token (JWT) of Microsoft Azure Attestation.

Options:
  --issuer URL                whose token it must be: https:// and a host
  --jwks FILE                 the keys of that issuer, as it serves them at URL/certs. They are
                              never taken from where the token says
${JUDGING_USAGE}

${EXIT_CODES}`;

export async function verifyToken(
  args: readonly string[],
  io: CommandIo,
  world: VerifyWorld,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: { ...JUDGING_OPTIONS, issuer: { type: 'string' }, jwks: { type: 'string' } },
  });
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length > 0) throw usage('say which token, one at a time');
  const { issuer, jwks } = values;
  if (issuer === undefined || jwks === undefined) {
    throw usage(
      "--issuer and --jwks say whose token it must be, and by which keys that's shown",
    );
  }
  const { terms, policyName } = await termsOf(values, world);
  const keys = jsonOf(jwks, await fileBytes(jwks));
  // Keys that cannot be read judge nothing: that is no verdict on the token.
  readMaaKeys(issuer, keys);
  const token = new TextDecoder().decode(await fileBytes(path)).trim();
  const subject: TokenSubject = { kind: 'token', name: path, token, issuer, keys };
  const verdict = await judgeSubject(subject, terms, nodeVerifier);
  const judged = [{ subject, verdict }];
  const outcome = { judged, saved: judged, terms, policyName, notes: [] };
  return await conclude(outcome, values, io);
}

function jsonOf(path: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new CodedError('Unreadable', `${path} is not JSON`, { path }, { cause });
  }
}
