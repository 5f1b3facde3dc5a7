/**
 * The certificates that endorse a report (attestation-snp.md §3): asked of one place after the
 * other until one has those of this chip at this TCB, and then kept. Nobody is believed: what is
 * found here is judged by the verifier like everything else, but a certificate that cannot be the
 * right one is not taken, so that the next place is asked.
 */
import { textOf, utf8 } from '../../base/bytes.ts';
import type { Clock } from '../../base/environment.ts';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { leafMisfit } from './leaf-fit.ts';
import { bundleOf, certificatesIn } from './pem-bundle.ts';
import { type EndorsementNeed, needOf } from './report-lookup.ts';

/** The chain that evidence carries: VCEK or VLEK, ASK or ASVK, ARK. */
export interface Endorsements {
  readonly chainPem: string;
  /** The TCB that it is for, sixteen hexadecimal digits. */
  readonly tcbText: string;
  /** Where it came from. */
  readonly from: string;
}

/** What an origin knows; all DER. */
export interface FoundCertificates {
  readonly leaf?: Uint8Array;
  /** Intermediate and root. */
  readonly authorities?: readonly Uint8Array[];
}

export interface EndorsementOrigin {
  /** For people, and in configurations: `host`, `thim`, `azure-cache`, `amd`. */
  readonly name: string;
  /** Rejects with a coded error that says why it has nothing. */
  find(need: EndorsementNeed): Promise<FoundCertificates>;
  /** Intermediate and root alone, for an origin before this one that had the leaf only. */
  authorities?(need: EndorsementNeed): Promise<readonly Uint8Array[]>;
}

/** Keeps chains by name; a loss costs another question. */
export interface EndorsementCache {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, chain: Uint8Array): Promise<void>;
}

export interface EndorsementDependencies {
  readonly cache: EndorsementCache;
  readonly clock: Clock;
  readonly log: { warn(message: string): void };
}

export type EndorsementFinder = (
  report: Uint8Array,
  /** Places to ask before the configured ones: what came with the report. */
  first?: readonly EndorsementOrigin[],
) => Promise<Endorsements>;

const AUTHORITIES = 2;

/** Rejects with `NoEndorsements`, which says what each origin answered. */
export function endorsementFinder(
  origins: readonly EndorsementOrigin[],
  { cache, clock, log }: EndorsementDependencies,
): EndorsementFinder {
  const kept = async (need: EndorsementNeed): Promise<string | undefined> => {
    try {
      const chain = await cache.get(cacheName(need));
      if (chain === undefined) return undefined;
      const [leaf, ...authorities] = certificatesIn(textOf(chain));
      if (leaf === undefined || authorities.length !== AUTHORITIES) return undefined;
      const misfit = leafMisfit(leaf, need, clock.nowMs());
      return misfit === undefined ? textOf(chain) : undefined;
    } catch (thrown) {
      log.warn(`kept endorsements cannot be read and are fetched again: ${messageOf(thrown)}`);
      return undefined;
    }
  };
  return async (report, first = []) => {
    const need = needOf(report);
    const { tcbText } = need;
    const known = await kept(need);
    if (known !== undefined) return { chainPem: known, tcbText, from: 'cache' };
    const tried: string[] = [];
    const all = [...first, ...origins];
    for (const origin of all) {
      try {
        const { leaf, authorities } = await origin.find(need);
        if (leaf === undefined) {
          tried.push(`${origin.name} has no ${need.signer}`);
          continue;
        }
        const misfit = leafMisfit(leaf, need, clock.nowMs());
        if (misfit !== undefined) {
          tried.push(`${origin.name} gave a ${need.signer}, but ${misfit}`);
          continue;
        }
        const above = authorities ?? (await authoritiesOf(need, all, tried));
        if (above.length !== AUTHORITIES) {
          tried.push(
            `${origin.name} gave ${above.length} certificates of authorities, not two`,
          );
          continue;
        }
        const chainPem = bundleOf([leaf, ...above]);
        await keep(cacheName(need), chainPem);
        return { chainPem, tcbText, from: origin.name };
      } catch (thrown) {
        if (!isCoded(thrown)) throw thrown;
        tried.push(`${origin.name}: ${thrown.message}`);
      }
    }
    throw noneFound(need, tried);
  };

  async function keep(name: string, chainPem: string): Promise<void> {
    try {
      await cache.put(name, utf8(chainPem));
    } catch (thrown) {
      log.warn(`endorsements cannot be kept for the next start: ${messageOf(thrown)}`);
    }
  }
}

async function authoritiesOf(
  need: EndorsementNeed,
  origins: readonly EndorsementOrigin[],
  tried: string[],
): Promise<readonly Uint8Array[]> {
  for (const origin of origins) {
    try {
      const found = await origin.authorities?.(need);
      if (found !== undefined) return found;
    } catch (thrown) {
      if (!isCoded(thrown)) throw thrown;
      tried.push(`${origin.name}, for the authorities: ${thrown.message}`);
    }
  }
  return [];
}

/** A chip that is masked has no name of its own, but its TCB is told apart from others. */
function cacheName({ signer, chipId, tcbText }: EndorsementNeed): string {
  return `${signer.toLowerCase()}-${chipId}-${tcbText}`;
}

function noneFound(need: EndorsementNeed, tried: readonly string[]): CodedError {
  const { signer, product = 'an unnamed processor', chipId, tcbText } = need;
  const what = tried.length === 0 ? 'no place to ask is configured' : tried.join('; ');
  return new CodedError(
    'NoEndorsements',
    `no ${signer} for this machine (${product}, TCB ${tcbText}, chip ${chipId.slice(0, 16)}…) ` +
      `could be had, and without it nobody can judge its report. Asked: ${what}`,
    { signer, chipId, tcb: tcbText, tried },
  );
}
