// tpm2-tools before a TPM of a test: programs that keep to the manual pages, on a seed and
// registers in a file. The policy is computed as the TPM library says (part 3, TPM2_PolicyPCR),
// objects load under the seed that made them only, and unsealing asks the registers of now.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  randomBytes,
} from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RunProgram } from '../../../src/attestation/sources/programs.ts';

interface State {
  readonly seed: string;
  readonly pcrs: Readonly<Record<number, string>>;
}

const PROGRAMS = ['createprimary', 'createpolicy', 'create', 'load', 'unseal'] as const;
type Program = (typeof PROGRAMS)[number];

/** Options of each program that take a value, and those that do not. */
const OPTIONS: Readonly<Record<Program, { readonly values: string; readonly flags: string }>> =
  {
    createprimary: { values: 'CgGc', flags: '' },
    createpolicy: { values: 'lL', flags: '--policy-pcr' },
    create: { values: 'CLiaur', flags: '' },
    load: { values: 'Curc', flags: '' },
    unseal: { values: 'cp', flags: '' },
  };

export interface FakeTpm {
  /** Folder of the programs. */
  readonly programs: string;
  /** The same programs without a process for each call, which takes its time. */
  readonly inProcess: RunProgram;
  /** Changes a register, as other code would when it is measured. */
  extend(index: number, measured: string): void;
  /** Another machine's TPM in the same place. */
  replace(): void;
}

export function fakeTpm(folder: string): FakeTpm {
  const programs = join(folder, 'bin');
  const path = join(folder, 'tpm.json');
  mkdirSync(programs, { recursive: true });
  for (const name of PROGRAMS) {
    const program = join(programs, `tpm2_${name}`);
    const command = [process.execPath, import.meta.filename, path, name].map(quoted).join(' ');
    writeFileSync(program, `#!/bin/sh\nexec ${command} "$@"\n`);
    chmodSync(program, 0o755);
  }
  const fresh = (): State => ({
    seed: randomBytes(32).toString('hex'),
    pcrs: Object.fromEntries(Array.from({ length: 24 }, (_, at) => [at, '00'.repeat(32)])),
  });
  const save = (state: State): void => writeFileSync(path, JSON.stringify(state));
  save(fresh());
  const inProcess: RunProgram = async (program, args) => {
    const found = PROGRAMS.find((name) => basename(program) === `tpm2_${name}`);
    if (found === undefined) return { kind: 'missing', why: program };
    try {
      return { kind: 'done', output: run(path, found, args) };
    } catch (thrown) {
      return { kind: 'failed', exit: 'ended with 1', said: String(thrown) };
    }
  };
  return {
    programs,
    inProcess,
    extend: (index, measured) => {
      const { seed, pcrs } = stateAt(path);
      const before = Buffer.from(pcrs[index] ?? '', 'hex');
      const after = sha256(before, sha256(Buffer.from(measured))).toString('hex');
      save({ seed, pcrs: { ...pcrs, [index]: after } });
    },
    replace: () => save({ ...fresh(), pcrs: stateAt(path).pcrs }),
  };
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

function stateAt(path: string): State {
  return JSON.parse(readFileSync(path, 'utf8'));
}

function sha256(...parts: readonly Uint8Array[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}

/** Says what is wrong as the tools do, and ends. */
class Refusal extends Error {}

function run(path: string, program: Program, args: readonly string[]): Buffer {
  const state = stateAt(path);
  const options = parse(program, args);
  const value = (name: string): string => {
    const found = options.get(name);
    if (found === undefined) throw new Refusal(`option -${name} is missing`);
    return found;
  };
  const file = (name: string): Buffer => readFileSync(value(name));
  const parent = (): Buffer => {
    const context = file('C');
    if (!context.equals(contextOf(state))) throw new Refusal('tpm:handle(1):not a parent');
    return context;
  };
  switch (program) {
    case 'createprimary':
      if (value('C') !== 'o') throw new Refusal('only the owner is known here');
      writeFileSync(value('c'), contextOf(state));
      break;
    case 'createpolicy':
      if (!args.includes('--policy-pcr')) throw new Refusal('no policy type');
      writeFileSync(value('L'), policyOf(state, value('l')));
      break;
    case 'create': {
      const secret = file('i');
      if (secret.length === 0 || secret.length > 128) throw new Refusal('size of the data');
      const shown = { attributes: value('a').split('|'), policy: file('L').toString('hex') };
      const publicPart = Buffer.from(JSON.stringify(shown));
      writeFileSync(value('u'), publicPart);
      writeFileSync(value('r'), wrap(parent(), publicPart, secret));
      break;
    }
    case 'load':
      unwrap(parent(), file('u'), file('r'));
      writeFileSync(value('c'), JSON.stringify({ u: hexOf(file('u')), r: hexOf(file('r')) }));
      break;
    case 'unseal': {
      const { u, r } = JSON.parse(file('c').toString());
      const publicPart = Buffer.from(u, 'hex');
      const { attributes, policy } = JSON.parse(publicPart.toString());
      const session = /^pcr:(.+)$/.exec(options.get('p') ?? '')?.[1];
      const isMet =
        session !== undefined && policyOf(state, session).toString('hex') === policy;
      // With that attribute, an empty password does as well.
      if (!isMet && !attributes.includes('userwithauth')) {
        throw new Refusal('Esys_Unseal(0x99D) - tpm:session(1):a policy check failed');
      }
      return unwrap(contextOf(state), publicPart, Buffer.from(r, 'hex'));
    }
  }
  return Buffer.alloc(0);
}

function parse(program: Program, args: readonly string[]): ReadonlyMap<string, string> {
  const { values, flags } = OPTIONS[program];
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? '';
    if (arg === flags) continue;
    const name = /^-(.)$/.exec(arg)?.[1] ?? '';
    const given = args[at + 1];
    if (name === '' || !values.includes(name) || given === undefined) {
      throw new Refusal(`tpm2_${program}: unrecognized option '${arg}'`);
    }
    options.set(name, given);
    at += 1;
  }
  return options;
}

/** The primary key follows from the seed and from nothing else. */
function contextOf({ seed }: State): Buffer {
  return createHmac('sha256', Buffer.from(seed, 'hex')).update('primary').digest();
}

/** H(0 ‖ TPM_CC_PolicyPCR ‖ TPML_PCR_SELECTION ‖ H(values)). */
function policyOf({ pcrs }: State, selection: string): Buffer {
  const [, list = ''] = /^sha256:((?:\d+,)*\d+)$/.exec(selection) ?? [];
  if (list === '') throw new Refusal(`cannot parse ${selection}`);
  const indices = list.split(',').map(Number);
  const bits = Buffer.alloc(3);
  for (const index of indices) bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7));
  const values = [...indices]
    .sort((left, right) => left - right)
    .map((index) => Buffer.from(pcrs[index] ?? '', 'hex'));
  const head = Buffer.from('0000017f00000001000b03', 'hex');
  return sha256(Buffer.alloc(32), head, bits, sha256(...values));
}

function wrap(key: Buffer, publicPart: Buffer, secret: Buffer): Buffer {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(publicPart);
  const text = Buffer.concat([cipher.update(secret), cipher.final()]);
  return Buffer.concat([iv, cipher.getAuthTag(), text]);
}

function unwrap(key: Buffer, publicPart: Buffer, privatePart: Buffer): Buffer {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, privatePart.subarray(0, 12))
      .setAAD(publicPart)
      .setAuthTag(privatePart.subarray(12, 28));
    return Buffer.concat([decipher.update(privatePart.subarray(28)), decipher.final()]);
  } catch {
    throw new Refusal('Esys_Load(0x1DF) - tpm:parameter(1):integrity check failed');
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

const [, script, path, name, ...args] = process.argv;
if (script === import.meta.filename && path !== undefined) {
  const program = PROGRAMS.find((one) => one === name);
  try {
    if (program === undefined) throw new Refusal(`no program ${name}`);
    process.stdout.write(run(path, program, args));
  } catch (thrown) {
    const said = thrown instanceof Error ? thrown.message : String(thrown);
    process.stderr.write(`ERROR: ${said}\nERROR: Unable to run tpm2_${name}\n`);
    process.exitCode = 1;
  }
}
