/**
 * Peers that somebody else has started and whose addresses stand in the environment: transaction
 * managers in Tessera's manner, and a service in CCF's.
 */
import { readFileSync } from 'node:fs';
import { CodedError, messageOf } from '../../src/base/errors.ts';
import type { SystemStatement } from '../result.ts';
import type { LogService, TransactionManagers } from './asked.ts';

export const TESSERA = 'Tessera';
export const CCF = 'CCF';

export interface ByAddress<System> {
  readonly name: string;
  readonly system: System;
  /** Its processes, when they run on this machine and somebody named them. */
  readonly pids: readonly number[];
  readonly statement: SystemStatement;
}

const UNKNOWN_DURABILITY = 'as whoever started it has set it';

/** `CONCORDAT_TESSERA=URL of A,URL of B,public key of B`; undefined when it is not set. */
export function tesseraOf(env: NodeJS.ProcessEnv): ByAddress<TransactionManagers> | undefined {
  const text = env.CONCORDAT_TESSERA ?? '';
  if (text === '') return undefined;
  const [first = '', second = '', recipient = '', ...more] = text.split(',');
  if (recipient === '' || more.length > 0) {
    throw new CodedError(
      'Usage',
      `CONCORDAT_TESSERA is ${JSON.stringify(text)}; it is the address of A's Q2T server, of ` +
        "B's, and B's public key in base64, with commas between them",
    );
  }
  const urls = [
    urlOf('CONCORDAT_TESSERA', first, 'http:'),
    urlOf('CONCORDAT_TESSERA', second, 'http:'),
  ];
  return {
    name: TESSERA,
    pids: pidsOf('CONCORDAT_TESSERA_PIDS', env),
    system: {
      transactionManagerOf(organisation) {
        const url = urls[organisation - 1];
        if (url === undefined)
          throw new RangeError(`no Tessera of organisation ${organisation}`);
        return url;
      },
      partyKeyOf: (organisation) => (organisation === 2 ? recipient : undefined),
    },
    statement: {
      name: TESSERA,
      version: `at ${first} and ${second}`,
      durability: UNKNOWN_DURABILITY,
      load: 'the same requests, from A to B',
    },
  };
}

/** `CONCORDAT_CCF` with certificate files beside it; undefined when it is not set. */
export function ccfOf(env: NodeJS.ProcessEnv): ByAddress<LogService> | undefined {
  const address = env.CONCORDAT_CCF ?? '';
  if (address === '') return undefined;
  const url = urlOf('CONCORDAT_CCF', address, 'https:');
  const credentials = {
    ca: fileOf('CONCORDAT_CCF_CA', env),
    cert: fileOf('CONCORDAT_CCF_CERT', env),
    key: fileOf('CONCORDAT_CCF_KEY', env),
  };
  return {
    name: CCF,
    pids: pidsOf('CONCORDAT_CCF_PIDS', env),
    system: { primaryUrl: () => Promise.resolve(url), credentials: () => credentials },
    statement: {
      name: CCF,
      version: `at ${address}`,
      durability: UNKNOWN_DURABILITY,
      load: 'the same requests, over mTLS',
    },
  };
}

function urlOf(variable: string, text: string, protocol: 'http:' | 'https:'): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === protocol && url.port !== '') return url;
  throw new CodedError(
    'Usage',
    `${variable} names ${JSON.stringify(text)}, not an address such as ${protocol}//host:8080`,
  );
}

function fileOf(variable: string, env: NodeJS.ProcessEnv): string {
  const path = env[variable] ?? '';
  if (path === '') {
    throw new CodedError(
      'Usage',
      'CONCORDAT_CCF needs PEM files beside it: CONCORDAT_CCF_CA (its service certificate), ' +
        `CONCORDAT_CCF_CERT and CONCORDAT_CCF_KEY (of a user); ${variable} is not set`,
    );
  }
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const why = messageOf(error);
    throw new CodedError('Usage', `${variable} names a file that cannot be read: ${why}`);
  }
}

function pidsOf(variable: string, env: NodeJS.ProcessEnv): readonly number[] {
  const text = env[variable] ?? '';
  if (text === '') return [];
  if (/^\d+(,\d+)*$/.test(text)) return text.split(',').map(Number);
  throw new CodedError(
    'Usage',
    `${variable} is ${JSON.stringify(text)}, not process ids with commas between them`,
  );
}
