/**
 * A verdict with all that it rests on, in one file of JSON: evidence, policy, roots, revocation
 * lists, time. Whoever has the file draws the verdict again, offline, years later. Nothing in it
 * is believed for standing there: the verdict is made anew, roots must be known to the program that
 * replays it, and the digest shows a file that was changed by accident or without care. Whom the
 * file came from, it does not show; the digest, kept elsewhere, does.
 */
import { AMD_ROOTS } from '../../attestation/amd-roots.ts';
import type { Evidence } from '../../attestation/evidence.ts';
import type { AmdRoots } from '../../attestation/judging.ts';
import { type PolicyFile, readPolicyFile } from '../../attestation/policy-file.ts';
import {
  documentPlace,
  fault,
  fields,
  flag,
  hex,
  listOf,
  mapOf,
  oneOf,
  type Place,
  type Reader,
  readDocument,
  text,
} from '../../attestation/strict-fields.ts';
import type { Check, Verdict } from '../../attestation/verdict.ts';
import { CodedError, messageOf } from '../../base/errors.ts';
import { fromBase64, fromHex, toBase64, toHex, toUtf8 } from '../../base/portable-bytes.ts';
import type { Verifier } from '../../crypto/verifier.ts';
import { judgeSubject, type Subject, type Terms } from './subject.ts';

const FORMAT = 'concordat-attestation-bundle';
const BUNDLE_CHARS_MAX = 64_000_000;

/** A subject and what was said of it. */
export interface Judged {
  readonly subject: Subject;
  readonly verdict: Verdict;
}

/** Of a verdict, what a replay must come to again; sentences may be told better one day. */
interface SavedCheck {
  readonly name: string;
  readonly outcome: Check['outcome'];
  readonly code?: string;
}

interface SavedVerdict {
  readonly accepted: boolean;
  readonly refusal?: string;
  readonly checks: readonly SavedCheck[];
}

interface SavedSubject {
  readonly name: string;
  readonly evidence?: Evidence;
  readonly binding?: string;
  readonly containerPolicy?: Uint8Array;
  readonly token?: string;
  readonly issuer?: string;
  readonly keys?: unknown;
  readonly verdict: SavedVerdict;
}

interface Bundle {
  readonly format: typeof FORMAT;
  readonly version: 1;
  readonly madeBy: string;
  readonly at: string;
  readonly policy: PolicyFile;
  readonly roots: Readonly<Record<string, readonly string[]>>;
  readonly crls: readonly Uint8Array[];
  readonly subjects: readonly SavedSubject[];
  readonly digest: string;
}

/** The text of a bundle; `digest` names it. */
export async function bundleText(
  judged: readonly Judged[],
  terms: Terms,
  madeBy: string,
  verifier: Verifier,
): Promise<{ readonly text: string; readonly digest: string }> {
  const content = {
    format: FORMAT,
    version: 1,
    madeBy,
    at: new Date(terms.atMs).toISOString(),
    policy: terms.policy,
    roots: terms.roots,
    crls: terms.crls.map(toBase64),
    subjects: judged.map(({ subject, verdict }) => savedSubject(subject, verdict)),
  };
  const digest = await digestOf(content, verifier);
  return { text: `${JSON.stringify({ ...content, digest }, undefined, 1)}\n`, digest };
}

function savedSubject(subject: Subject, verdict: Verdict): object {
  const saved = savedVerdict(verdict);
  if (subject.kind === 'token') {
    const { name, token, issuer, keys } = subject;
    return { name, token, issuer, keys, verdict: saved };
  }
  const { name, evidence, binding, containerPolicy } = subject;
  return {
    name,
    evidence,
    ...(binding === undefined ? {} : { binding: toHex(binding) }),
    ...(containerPolicy === undefined ? {} : { containerPolicy: toBase64(containerPolicy) }),
    verdict: saved,
  };
}

function savedVerdict({ accepted, refusal, checks }: Verdict): SavedVerdict {
  return {
    accepted,
    ...(refusal === undefined ? {} : { refusal: refusal.code }),
    checks: checks.map(({ name, outcome, code }) => ({
      name,
      outcome,
      ...(code === undefined ? {} : { code }),
    })),
  };
}

export interface Replay {
  readonly judged: readonly Judged[];
  readonly terms: Terms;
  readonly madeBy: string;
  readonly digest: string;
}

/**
 * Draws the verdicts of a bundle again. Throws `BadBundle` for what is none, `BundleChanged` when
 * its digest is another, `RootsUnknown`, and `VerdictDiffers` when a verdict comes out otherwise.
 */
export async function replayBundle(
  content: string,
  verifier: Verifier,
  known: AmdRoots = AMD_ROOTS,
): Promise<Replay> {
  const bundle = await readBundle(content, verifier);
  const terms: Terms = {
    policy: bundle.policy,
    atMs: Date.parse(bundle.at),
    roots: knownRoots(bundle.roots, known),
    crls: bundle.crls,
  };
  const judged: Judged[] = [];
  for (const saved of bundle.subjects) {
    const subject = subjectOf(saved);
    const verdict = await judgeSubject(subject, terms, verifier);
    const difference = differenceBetween(saved.verdict, savedVerdict(verdict));
    if (difference !== undefined) {
      throw new CodedError(
        'VerdictDiffers',
        `${saved.name}: judged again, the verdict is another than the one saved: ${difference}`,
        { name: saved.name },
      );
    }
    judged.push({ subject, verdict });
  }
  return { judged, terms, madeBy: bundle.madeBy, digest: bundle.digest };
}

/** A later program may check more; what was said before must come out the same. */
function differenceBetween(saved: SavedVerdict, now: SavedVerdict): string | undefined {
  const word = ({ accepted, refusal = '' }: SavedVerdict): string =>
    accepted ? 'accepted' : `refused (${refusal})`;
  if (word(saved) !== word(now)) return `it was ${word(saved)} and is ${word(now)}`;
  const left = [...now.checks];
  for (const check of saved.checks) {
    const at = left.findIndex(
      ({ name, outcome, code }) =>
        name === check.name && outcome === check.outcome && code === check.code,
    );
    if (at < 0) return `the check "${check.name}" no longer has the outcome ${check.outcome}`;
    left.splice(at, 1);
  }
  return undefined;
}

function knownRoots(saved: Bundle['roots'], known: AmdRoots): AmdRoots {
  const knownOf: Readonly<Record<string, readonly string[]>> = known;
  for (const [product, digests] of Object.entries(saved)) {
    const pinned = Object.hasOwn(knownOf, product) ? (knownOf[product] ?? []) : [];
    const unknown = digests.find((digest) => !pinned.includes(digest));
    if (unknown === undefined) continue;
    throw new CodedError(
      'RootsUnknown',
      `this bundle trusts a root for ${product} that is not one of AMD's known here: ${unknown}`,
      { product, root: unknown },
    );
  }
  return saved;
}

function subjectOf(saved: SavedSubject): Subject {
  const { name, evidence, containerPolicy, token, issuer } = saved;
  if (evidence !== undefined) {
    const binding = saved.binding === undefined ? undefined : fromHex(saved.binding);
    return {
      kind: 'evidence',
      name,
      evidence,
      ...(binding === undefined ? {} : { binding }),
      ...(containerPolicy === undefined ? {} : { containerPolicy }),
    };
  }
  if (token === undefined || issuer === undefined) {
    throw fault(PLACE, `${name} is neither evidence nor a token with its issuer`);
  }
  return { kind: 'token', name, token, issuer, keys: saved.keys };
}

const PLACE: Place = documentPlace('BadBundle', 'this is not a bundle that can be replayed');

const anything: Reader<unknown> = (value) => value;

const base64: Reader<Uint8Array> = (value, place) => {
  const bytes = typeof value === 'string' ? fromBase64(value) : undefined;
  if (bytes === undefined) throw fault(place, 'it is not base64');
  return bytes;
};

const time: Reader<string> = (value, place) => {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (typeof value !== 'string' || Number.isNaN(ms) || new Date(ms).toISOString() !== value) {
    throw fault(place, 'it is not a time like 2026-12-24T18:00:00.000Z');
  }
  return value;
};

/** Policies are read by their own rules. */
const policy: Reader<PolicyFile> = (value, place) => {
  try {
    return readPolicyFile(JSON.stringify(value));
  } catch (cause) {
    throw fault(place, messageOf(cause), cause);
  }
};

/** What evidence is like is for the verdict to say. */
const evidence: Reader<Evidence> = (value, place) => {
  if (typeof value === 'object' && value !== null) return value as Evidence;
  throw fault(place, 'it is not an object');
};

const readVerdict: Reader<SavedVerdict> = fields<SavedVerdict>(
  {
    accepted: flag,
    refusal: text(),
    checks: listOf(
      fields<SavedCheck>(
        { name: text(), outcome: oneOf('passed', 'failed', 'skipped'), code: text() },
        ['name', 'outcome'],
      ),
    ),
  },
  ['accepted', 'checks'],
);

const readSubject: Reader<SavedSubject> = fields<SavedSubject>(
  {
    name: text(),
    evidence,
    binding: text(/^(?:[0-9a-f]{2}){32,64}$/, '32 to 64 bytes in hexadecimal'),
    containerPolicy: base64,
    token: text(),
    issuer: text(),
    keys: anything,
    verdict: readVerdict,
  },
  ['name', 'verdict'],
);

const readFields: Reader<Bundle> = fields<Bundle>(
  {
    format: oneOf(FORMAT),
    version: oneOf(1),
    madeBy: text(),
    at: time,
    policy,
    roots: mapOf(/^[A-Za-z]+$/, 'a product', listOf(hex(64))),
    crls: listOf(base64),
    subjects: listOf(readSubject),
    digest: hex(64),
  },
  ['format', 'version', 'madeBy', 'at', 'policy', 'roots', 'crls', 'subjects', 'digest'],
);

async function readBundle(content: string, verifier: Verifier): Promise<Bundle> {
  if (content.length > BUNDLE_CHARS_MAX)
    throw fault(PLACE, `it has ${content.length} characters`);
  const value = readDocument(content, anything, PLACE);
  const bundle = readFields(value, PLACE);
  if (bundle.subjects.length === 0) throw fault(PLACE, 'nothing was judged in it');
  const { digest: _said, ...rest } = value as Readonly<Record<string, unknown>>;
  const digest = await digestOf(rest, verifier);
  if (digest !== bundle.digest) {
    throw new CodedError(
      'BundleChanged',
      `this bundle was changed after it was made: its digest is ${digest}, and it says ` +
        bundle.digest,
      { digest, said: bundle.digest },
    );
  }
  return bundle;
}

/** SHA-256 of the content as JSON with sorted names and no white space. */
async function digestOf(content: unknown, verifier: Verifier): Promise<string> {
  const canonical = JSON.stringify(content, (_name, value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    const entries = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
    return Object.fromEntries(entries);
  });
  return toHex(await verifier.hash('SHA-256', toUtf8(canonical)));
}
