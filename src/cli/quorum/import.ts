/** `concordat quorum import`: everything that a Tessera node holds, moved into the service. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CodedError, isCoded, messageOf } from '../../base/errors.ts';
import { addressOf } from '../../config/kinds.ts';
import { certificateIdOf } from '../../crypto/certificates.ts';
import type { Action } from '../action.ts';
import type { CommandIo } from '../command.ts';
import { EXIT } from '../exit-codes.ts';
import { readJson } from '../node/party-keys-file.ts';
import { DUMP_SQL, readDump } from './dump.ts';
import { ImportJournal } from './import-journal.ts';
import { ImportService, type ImportServiceOptions } from './import-service.ts';
import { askedFor, hashesIn, takePushes } from './import-sources.ts';
import { Importer, lineOf } from './importer.ts';
import { readNamed } from './key-files.ts';
import { type Options, readOptions } from './options.ts';
import { isFields, textOf, textsOf } from './tessera-config.ts';
import { TesseraPeer } from './tessera-peer.ts';

export const IMPORT: Action = {
  name: 'import',
  usage: `Usage: concordat quorum import --dump FILE SERVICE [OPTIONS]
       concordat quorum import --peer URL --hashes FILE SERVICE [OPTIONS]
       concordat quorum import --peer URL --listen HOST:PORT --url URL SERVICE [OPTIONS]
       concordat quorum import --sql ${Object.keys(DUMP_SQL).join('|')}

Moves what a Tessera node holds into the service, as its organisation. Each payload must have the
hash it came under, and open with a key of the organisation. It may be stopped and started again
at any point, and repeated: what is there is not stored twice.

  --dump FILE          rows of its database, a line of JSON each; - is standard input
  --sql DATABASE       print the statements that make such a dump, and end
  --peer URL           a Tessera node's P2P address: the organisation's own, or another's
    --hashes FILE      ask it for these payloads: a hash a line, base64 or 0x and hexadecimal
    --listen HOST:PORT have it push all payloads of the organisation's keys here; stop the
                       organisation's own Tessera first, and take its address
    --url URL          the address that the peer is to push to (default http://HOST:PORT/)
    --batch N          so many payloads in a push (Tessera 21 and later)
    --peer-ca FILE     certificates (PEM) that the peer's must be signed by
    --peer-certificate FILE, --peer-key FILE
                       shown to the peer, and by --listen to those that push

SERVICE is --connector FILE (a connector's configuration), or
  --service URL        a node of the service; may be given several times
  --service-certificate FILE, --certificate FILE, --key FILE

  --checkpoint FILE    what was acknowledged (default: DUMP.progress, or quorum-import.progress)
  --at-once N          so many under way together (default 16)
  --patience SECONDS   how long the service may be away (default 60)
  --json               {"ok",…counts,"notMoved":[{"kind","name","why"}]}

Exit codes: 0 all is moved or was before, 1 something was refused (named), 3 the service, the
peer or a file could not be reached; the same command goes on from there.`,
  async run(args, io) {
    const options = readOptions(args, {
      texts: [
        ...['dump', 'sql', 'peer', 'hashes', 'listen', 'url', 'batch', 'connector'],
        ...['peer-ca', 'peer-certificate', 'peer-key'],
        ...['service-certificate', 'certificate', 'key'],
        ...['checkpoint', 'at-once', 'patience'],
      ],
      lists: ['service'],
      flags: ['json'],
    });
    if (options.positionals.length > 0) {
      throw new CodedError('Usage', `import takes no ${options.positionals[0]}`);
    }
    if (options.text('sql') !== undefined) return printSql(options.required('sql'), io);
    const source = sourceOf(options);
    const settings = serviceOf(options, io.signal);
    const service = new ImportService(settings);
    const keys = await service.keys();
    const journal = ImportJournal.open(
      options.text('checkpoint') ?? source.checkpoint,
      `service ${idOf(settings.serviceCertificate)} as ${idOf(settings.certificate)}`,
    );
    const importer = new Importer(service, journal, (text) => io.progress(text));
    try {
      await source.run({ service, importer, keys, atOnce: settings.sessions, io });
    } catch (thrown) {
      if (!isCoded(thrown)) throw thrown;
      const so = `so far: ${lineOf(importer.counts)}; the same command goes on`;
      throw new CodedError(thrown.code, `${thrown.message} (${so})`, thrown.fields);
    } finally {
      journal.close();
      service.close();
    }
    return report(importer, options.flag('json'), io);
  },
};

function printSql(database: string, io: CommandIo): number {
  const statements = Object.hasOwn(DUMP_SQL, database) ? DUMP_SQL[database] : undefined;
  if (statements === undefined) {
    const names = Object.keys(DUMP_SQL).join(', ');
    throw new CodedError('Usage', `--sql is ${JSON.stringify(database)}; it takes ${names}`);
  }
  for (const statement of statements) io.out(`${statement};`);
  return EXIT.good;
}

interface Means {
  readonly service: ImportService;
  readonly importer: Importer;
  readonly keys: readonly Uint8Array[];
  readonly atOnce: number;
  readonly io: CommandIo;
}

interface Source {
  readonly checkpoint: string;
  readonly run: (means: Means) => Promise<void>;
}

const CHECKPOINT_DEFAULT = 'quorum-import.progress';

function sourceOf(options: Options): Source {
  const [dump, peerUrl] = [options.text('dump'), options.text('peer')];
  if ((dump === undefined) === (peerUrl === undefined)) {
    throw new CodedError('Usage', 'say where from: --dump FILE, or --peer URL');
  }
  if (dump !== undefined) {
    if (dump !== '-' && !existsSync(dump)) {
      throw new CodedError('UnreadableFile', `--dump names ${dump}, which is not there`);
    }
    return {
      checkpoint: dump === '-' ? CHECKPOINT_DEFAULT : `${dump}.progress`,
      run: async ({ importer, atOnce }) => await importer.takeAll(readDump(dump), atOnce),
    };
  }
  return { checkpoint: CHECKPOINT_DEFAULT, run: peerSourceOf(options) };
}

function peerSourceOf(options: Options): Source['run'] {
  const url = options.required('peer');
  const [hashes, listen] = [options.text('hashes'), options.text('listen')];
  if ((hashes === undefined) === (listen === undefined)) {
    throw new CodedError('Usage', 'say what to ask the peer for: --hashes FILE, or --listen');
  }
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw new CodedError(
      'Usage',
      `--peer is ${JSON.stringify(url)}; it takes http(s)://HOST:PORT`,
    );
  }
  const pem = (name: string): string | undefined => {
    const path = options.text(name);
    return path === undefined ? undefined : readPem(path, `--${name}`);
  };
  const [trusted, certificate, key] = ['peer-ca', 'peer-certificate', 'peer-key'].map(pem);
  const identity = certificate === undefined || key === undefined ? {} : { certificate, key };
  const tls = trusted === undefined ? {} : { tls: { trusted, ...identity } };
  const peerWith = (signal: AbortSignal): TesseraPeer =>
    new TesseraPeer({ url, signal, ...tls });
  if (hashes !== undefined) {
    const asked = hashesIn(readNamed(hashes, '--hashes'), hashes);
    return async ({ importer, keys, atOnce, io }) =>
      await importer.takeAll(askedFor(peerWith(io.signal), asked, keys), atOnce);
  }
  const address = addressOf(listen ?? '');
  if (address === undefined) {
    throw new CodedError('Usage', `--listen is ${JSON.stringify(listen)}; it takes HOST:PORT`);
  }
  const secure = trusted !== undefined && certificate !== undefined && key !== undefined;
  const batch = options.text('batch');
  const pushes = {
    address,
    url: options.text('url') ?? `${secure ? 'https' : 'http'}://${listen}/`,
    ...(secure ? { tls: { certificate, key, trusted } } : {}),
    ...(batch === undefined ? {} : { batchSize: options.count('batch', 100, 1, 1_000) }),
  };
  return async ({ service, importer, keys, io }) =>
    await takePushes(peerWith(io.signal), service, importer, keys, pushes);
}

/** The service, from a connector's configuration or from flags; a flag wins. */
function serviceOf(options: Options, signal: AbortSignal): ImportServiceOptions {
  const file = options.text('connector');
  const bad = (why: string): CodedError =>
    new CodedError('BadConfiguration', `${file}: ${why}`);
  const given = file === undefined ? {} : readJson(file, bad);
  if (!isFields(given)) throw bad('a JSON object is expected');
  const folder = dirname(resolve(file ?? '.'));
  const pem = (flag: string, setting: string): string => {
    const inFile = textOf(given[setting]);
    const path = options.text(flag) ?? (inFile && resolve(folder, inFile));
    if (path !== undefined && path !== '') return readPem(path, `--${flag}`);
    throw new CodedError('Usage', `--${flag} is missing, or --connector FILE`);
  };
  const flags = options.list('service');
  const urls = flags.length > 0 ? flags : textsOf(given.service);
  if (urls.length === 0)
    throw new CodedError('Usage', '--service is missing, or --connector FILE');
  const bare = urls.map((url) => url.replace(/\/+$/, ''));
  const wrong = bare.find((url) => !/^https:\/\/[^/]+$/.test(url));
  if (wrong !== undefined) {
    throw new CodedError(
      'Usage',
      `--service is ${JSON.stringify(wrong)}; it takes https://HOST:PORT`,
    );
  }
  return {
    urls: bare,
    serviceCertificate: pem('service-certificate', 'serviceCertificate'),
    certificate: pem('certificate', 'certificate'),
    key: pem('key', 'key'),
    sessions: options.count('at-once', 16, 1, 256),
    patienceMs: 1_000 * options.count('patience', 60, 0, 86_400),
    signal,
  };
}

function readPem(path: string, setting: string): string {
  const text = readNamed(path, setting);
  if (text.includes('-----BEGIN ')) return text;
  throw new CodedError('BadPem', `${path} holds no PEM (it does not say -----BEGIN)`);
}

function idOf(pem: string): string {
  try {
    return certificateIdOf(pem).slice(0, 16);
  } catch (thrown) {
    throw new CodedError(
      'BadCertificate',
      `what should be a certificate is none: ${messageOf(thrown)}`,
    );
  }
}

function report(importer: Importer, asJson: boolean, io: CommandIo): number {
  const { counts, notMoved } = importer;
  const ok = counts.refused === 0;
  if (asJson) {
    io.out(JSON.stringify({ ok, ...counts, notMoved }));
  } else {
    for (const { kind, name, why } of notMoved) {
      io.err(`${kind === 'refused' ? 'REFUSED' : 'left out'} ${name}: ${why}`);
    }
    io.out(lineOf(counts));
  }
  return ok ? EXIT.good : EXIT.bad;
}
