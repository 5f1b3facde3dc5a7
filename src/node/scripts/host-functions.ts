/**
 * The functions that a script's prelude calls (`prelude.ts`). They take and give bytes and texts;
 * the interpreter carries these across. What they throw becomes an exception in the script.
 */
import { bytesOfHex, textOf, utf8 } from '../../base/bytes.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import {
  digestNow,
  isCertificateBundle,
  isCertificateChain,
  isPublicKeyPem,
  type SignatureAlgorithmName,
  verifyNow,
} from '../../crypto/sync-checks.ts';
import type { ScriptEffect } from '../../governance/scripts.ts';
import type { ScriptTableSet } from './script-tables.ts';

const LOG_LINES_MAX = 200;
const LOG_CHARACTERS_MAX = 2_000;
const EFFECTS_MAX = 1_000;

/** What crosses between a script and its host. */
export type HostValue = string | number | boolean | undefined | Uint8Array | HostList;
export type HostList = readonly Uint8Array[];
export type HostFunction = (...args: readonly HostValue[]) => HostValue;

/** Thrown through the script: it asked something that takes time. */
export class Question extends Error {
  readonly question: ScriptEffect;

  constructor(question: ScriptEffect) {
    super(`waits for ${question.name}`);
    this.question = question;
  }
}

export interface HostContext {
  readonly tables: ScriptTableSet;
  readonly answers: readonly string[];
  readonly log: string[];
  readonly effects: ScriptEffect[];
  /** From 0 up to, but not including, 1. */
  readonly random: () => number;
  readonly validateConstitution: (source: string) => void;
}

/** The host's functions for one run of one script. */
export function hostFunctions(context: HostContext): Readonly<Record<string, HostFunction>> {
  const { tables } = context;
  let asked = 0;
  return {
    get: (name, key) => tables.get(text(name), bytes(key)),
    put: (name, key, value) => {
      tables.put(text(name), bytes(key), bytes(value));
      return undefined;
    },
    remove: (name, key) => {
      const had = tables.get(text(name), bytes(key)) !== undefined;
      tables.remove(text(name), bytes(key));
      return had;
    },
    clear: (name) => {
      tables.clear(text(name));
      return undefined;
    },
    keys: (name) => tables.keys(text(name)),
    bytes: (value) => utf8(text(value)),
    text: (value) => textOf(bytes(value)),
    digest: (algorithm, data) => digestNow(text(algorithm), bytes(data)),
    verify: (algorithm, key, signature, data) => {
      const named = JSON.parse(text(algorithm)) as SignatureAlgorithmName;
      return verifyNow(named, text(key), bytes(signature), bytes(data));
    },
    isBundle: (pem) => isCertificateBundle(text(pem)),
    isChain: (chain, trusted) => isCertificateChain(text(chain), text(trusted)),
    isPublicKey: (pem) => isPublicKeyPem(text(pem)),
    pemToId: (pem) => certificateIdOf(text(pem)),
    tcb: (cpuid, hex) => JSON.stringify(tcbPolicy(text(cpuid), text(hex))),
    random: context.random,
    validateConstitution: (source) => {
      context.validateConstitution(text(source));
      return true;
    },
    log: (level, line) => {
      if (context.log.length < LOG_LINES_MAX) {
        context.log.push(`${text(level)}: ${text(line).slice(0, LOG_CHARACTERS_MAX)}`);
      }
      return undefined;
    },
    effect: (name, args) => {
      if (context.effects.length >= EFFECTS_MAX) throw new RangeError('too many effects');
      context.effects.push({ name: text(name), args: JSON.parse(text(args)) });
      return undefined;
    },
    ask: (name, args) => {
      const known = context.answers[asked];
      asked += 1;
      if (known !== undefined) return known;
      throw new Question({ name: text(name), args: JSON.parse(text(args)) });
    },
  };
}

function text(value: HostValue): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`expected a string, not ${typeof value}`);
}

function bytes(value: HostValue): Uint8Array {
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`expected an ArrayBuffer, not ${typeof value}`);
}

/** The parts of a TCB version, most significant byte first, of a processor (SNP §2). */
function tcbPolicy(cpuid: string, hex: string): Readonly<Record<string, number | string>> {
  const raw = bytesOfHex(hex);
  if (raw === undefined || raw.length !== 8) {
    throw new TypeError(`a TCB version is 16 hexadecimal digits, not ${hex.slice(0, 40)}`);
  }
  const [microcode = 0, g = 0, , , d = 0, c = 0, b = 0, a = 0] = raw;
  const isTurin = /^00b/.test(cpuid);
  return isTurin
    ? { hexstring: hex, microcode, snp: d, tee: c, boot_loader: b, fmc: a }
    : { hexstring: hex, microcode, snp: g, tee: b, boot_loader: a };
}
