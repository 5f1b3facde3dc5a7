/** What all actions of `concordat verify` do with verdicts: print, save, and say how it ended. */
import { writeFile } from 'node:fs/promises';
import type { Verdict } from '../../attestation/verdict.ts';
import { bundleText, type Judged } from '../../audit/attestation/bundle.ts';
import { htmlReport } from '../../audit/attestation/html-report.ts';
import type { Terms } from '../../audit/attestation/subject.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { VERSION } from '../../base/version.ts';
import { nodeVerifier } from '../../crypto/verifier-node.ts';
import type { CommandIo } from '../command.ts';
import { exitOfAll } from './verdict-exit.ts';
import { verdictJson, verdictLines } from './verdict-table.ts';

export interface OutcomeOptions {
  readonly json?: boolean | undefined;
  readonly html?: string | undefined;
  readonly save?: string | undefined;
}

/** Something judged that is no evidence: a session. */
interface Shown {
  readonly subject: { readonly name: string };
  readonly verdict: Verdict;
}

export interface Outcome {
  readonly judged: readonly Shown[];
  /** What can be judged again from a bundle. */
  readonly saved: readonly Judged[];
  readonly terms: Terms;
  /** What by: a file's name, or what every policy shares. */
  readonly policyName: string;
  /** What was done, left out or not shown, a sentence each. */
  readonly notes: readonly string[];
}

/** Returns the exit code. */
export async function conclude(
  outcome: Outcome,
  options: OutcomeOptions,
  io: CommandIo,
): Promise<number> {
  const { judged, saved, terms, policyName, notes } = outcome;
  const bundle =
    options.save === undefined
      ? undefined
      : await bundleText(saved, terms, VERSION, nodeVerifier);
  if (options.save !== undefined && bundle !== undefined)
    await write(options.save, bundle.text);
  if (options.html !== undefined) {
    const bundleDigest = bundle === undefined ? {} : { bundleDigest: bundle.digest };
    await write(options.html, htmlReport({ judged, policyName, notes, ...bundleDigest }));
  }
  const verdicts = judged.map(({ verdict }) => verdict);
  if (options.json === true) {
    io.out(
      JSON.stringify({
        ok: verdicts.every(({ accepted }) => accepted),
        policy: policyName,
        verdicts: judged.map(({ subject, verdict }) => verdictJson(subject.name, verdict)),
        notes,
        ...(bundle === undefined ? {} : { bundle: { digest: bundle.digest } }),
      }),
    );
  } else {
    for (const { subject, verdict } of judged) {
      for (const line of verdictLines(subject.name, verdict)) io.out(line);
    }
    io.out(`Judged by ${policyName}.`);
    for (const note of notes) io.out(`Note: ${note}.`);
    if (bundle !== undefined) io.out(`Saved as ${options.save}, digest ${bundle.digest}.`);
  }
  return exitOfAll(verdicts);
}

async function write(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    const message = `${path} cannot be written: ${messageOf(cause)}`;
    throw new CodedError('Unwritable', message, { path }, { cause });
  }
}
