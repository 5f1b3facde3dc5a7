/** `concordat verify bundle`: a verdict that was saved, drawn again offline. */
import { parseArgs } from 'node:util';
import { replayBundle } from '../../audit/attestation/bundle.ts';
import { isCoded } from '../../base/errors.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { CommandIo } from '../command.ts';
import { fileBytes, usage } from './judging-options.ts';
import { conclude } from './outcome.ts';
import { BUNDLE_REFUSED, EXIT_CODES } from './verdict-exit.ts';
import type { VerifyWorld } from './world.ts';

export const BUNDLE_USAGE = `Usage:
  concordat verify bundle FILE [OPTIONS]

Judges again what a bundle holds, by its policy and for its time, and compares with the verdict in
it. A bundle proves no more than the evidence in it: who made it, with which policy, only shows by
a digest that was kept elsewhere.

Options:
  --digest HEX                the bundle must be the one with this digest
  --json                      print JSON
  --html FILE                 write a page for people without a technical background

${EXIT_CODES}`;

/** What makes a bundle none, whatever is in it. */
const REFUSED = ['BadBundle', 'BundleChanged', 'RootsUnknown', 'VerdictDiffers', 'OtherBundle'];

const TOKEN_NOTE =
  "the keys that a token was judged by are those in the bundle: that they were its issuer's, " +
  'only whoever fetched them knows';

export async function verifyBundle(
  args: readonly string[],
  io: CommandIo,
  world: VerifyWorld,
): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: true,
    allowPositionals: true,
    options: {
      digest: { type: 'string' },
      json: { type: 'boolean' },
      html: { type: 'string' },
    },
  });
  const [path, ...rest] = positionals;
  if (path === undefined || rest.length > 0) throw usage('say which bundle, one at a time');
  const wanted = values.digest?.toLowerCase();
  if (wanted !== undefined && !/^[0-9a-f]{64}$/.test(wanted)) {
    throw usage('--digest takes 64 hexadecimal digits');
  }
  const content = new TextDecoder().decode(await fileBytes(path));
  const refuse = (code: string, message: string): number => {
    if (values.json === true) io.out(JSON.stringify({ ok: false, error: { code, message } }));
    else io.out(`REFUSED (bundle, ${code}): ${message}`);
    return BUNDLE_REFUSED;
  };
  try {
    const { judged, terms, madeBy, digest } = await replayBundle(
      content,
      nodeVerifier,
      world.roots,
    );
    if (wanted !== undefined && wanted !== digest) {
      return refuse('OtherBundle', `its digest is ${digest}, not ${wanted}`);
    }
    const notes = [
      `the bundle with digest ${digest} was made by Concordat ${madeBy}; judged again, all its ` +
        'verdicts came out the same',
      ...(judged.some(({ subject }) => subject.kind === 'token') ? [TOKEN_NOTE] : []),
    ];
    const { comment } = terms.policy;
    const policyName = `the policy in the bundle${comment === undefined ? '' : ` (${comment})`}`;
    return await conclude({ judged, saved: judged, terms, policyName, notes }, values, io);
  } catch (thrown) {
    if (!isCoded(thrown) || !REFUSED.includes(thrown.code)) throw thrown;
    return refuse(thrown.code, thrown.message);
  }
}
