/** `concordat quorum import-config`: each kind of Tessera configuration, and what is said of it. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { base64Of } from '../../../src/base/bytes.ts';
import { readPartyKeys } from '../../../src/cli/node/party-keys-file.ts';
import { convertConfig } from '../../../src/cli/quorum/convert-config.ts';
import { type Fields, readTesseraConfig } from '../../../src/cli/quorum/tessera-config.ts';
import { notesOnNames } from '../../../src/cli/quorum/tessera-settings.ts';
import { readResidents } from '../../../src/cli/sandbox/residents.ts';
import { FEDERATION } from '../../../src/config/federation-schema.ts';
import { systemRandom } from '../../../src/crypto/random.ts';
import { lockKey, unlockedKey } from '../../../src/crypto/tessera-key.ts';
import { recordedKeys } from '../../quorum/replay/setting.ts';
import { runProgram } from '../../support/program.ts';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'import-config-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const [one, two, three] = recordedKeys(false).map(({ publicKey, privateKey }) => ({
  publicKey,
  privateKey,
})) as [Pair, Pair, Pair];
interface Pair {
  readonly publicKey: string;
  readonly privateKey: string;
}

const CHEAP = { variant: 'id', memory: 64, iterations: 1, parallelism: 1 };
const bytes = (text: string) => Buffer.from(text, 'base64');

async function convert(config: Fields, environment: Record<string, string> = {}, more = {}) {
  const path = join(folder, 'tessera.json');
  return await convertConfig(config, { path, environment, progress: () => undefined, ...more });
}

const inline = { keys: { keyData: [one] } };
const said = (
  notes: readonly { setting: string; kind: string; text: string }[],
  setting: string,
) =>
  notes.filter((note) => note.setting === setting).map(({ kind, text }) => `${kind}: ${text}`);

describe('keys', () => {
  test('inline, inline with a config, and in files; plain and locked', async () => {
    const lockedInline = await lockKey(systemRandom, bytes(two.privateKey), 'second', CHEAP);
    const lockedFile = await lockKey(systemRandom, bytes(three.privateKey), 'third', CHEAP);
    writeFileSync(join(folder, 'three.key'), JSON.stringify(lockedFile));
    writeFileSync(join(folder, 'three.pub'), `${three.publicKey}\n`);
    writeFileSync(join(folder, 'words'), '\nsecond\nthird\n');
    const { keys } = await convert({
      keys: {
        passwordFile: 'words',
        keyData: [
          { publicKey: one.publicKey, config: unlockedKey(bytes(one.privateKey)) },
          { publicKey: two.publicKey, config: lockedInline },
          { publicKeyPath: 'three.pub', privateKeyPath: 'three.key' },
        ],
      },
    });
    expect(keys.map(({ privateKey }) => base64Of(privateKey))).toEqual(
      [one, two, three].map(({ privateKey }) => privateKey),
    );
  });

  test('take passwords from the list, from another file, and one for each locked key', async () => {
    const config = await lockKey(systemRandom, bytes(two.privateKey), 'pw', CHEAP);
    const keyData = [one, { publicKey: two.publicKey, config }];
    writeFileSync(join(folder, 'only-locked'), 'pw');
    for (const given of [
      await convert({ keys: { passwords: ['', 'pw'], keyData } }),
      await convert({ keys: { passwords: ['pw'], keyData } }),
      await convert({ keys: { keyData } }, {}, { passwordFile: join(folder, 'only-locked') }),
      await convert({ keys: { keyData: [one, { ...keyData[1], password: 'pw' }] } }),
    ]) {
      expect(given.keys).toHaveLength(2);
    }
  });

  test.each([
    ['a wrong password', { passwords: ['other'] }, 'WrongPassword', 'keys.keyData[0]'],
    ['no password', {}, 'PasswordNeeded', '1 keys are locked'],
    ['a password file that is not there', { passwordFile: 'gone' }, 'UnreadableFile', 'gone'],
  ])('do not open with %s, and that is said', async (_what, more, code, sentence) => {
    const config = await lockKey(systemRandom, bytes(two.privateKey), 'pw', CHEAP);
    const keys = { ...more, keyData: [{ publicKey: two.publicKey, config }] };
    await expect(convert({ keys })).rejects.toMatchObject({
      code,
      message: expect.stringContaining(sentence),
    });
  });

  test('must be pairs', async () => {
    const keys = { keyData: [{ publicKey: two.publicKey, privateKey: one.privateKey }] };
    await expect(convert({ keys })).rejects.toThrow(
      `keys.keyData[0]: the private key is not that of ${two.publicKey}`,
    );
  });

  test('in a vault are not taken, and half a key is not', async () => {
    const vault = { hashicorpVaultPublicKeyId: 'p', hashicorpVaultPrivateKeyId: 'q' };
    const half = { publicKey: one.publicKey };
    const { keys, notes } = await convert({ keys: { keyData: [vault, half, one] } });
    expect(keys).toHaveLength(1);
    expect(said(notes, 'keys.keyData[0]')[0]).toContain('in a vault');
    expect(said(notes, 'keys.keyData[1]')[0]).toContain('not whole');
    expect(said(notes, 'keys.keyData[0].hashicorpVaultPublicKeyId')[0]).toMatch(
      /^no counterpart/,
    );
  });

  test('of another curve end it', async () => {
    const config = {
      ...inline,
      encryptor: { type: 'EC', properties: { symmetricCipher: 'AES' } },
    };
    await expect(convert(config)).rejects.toMatchObject({ code: 'ForeignEncryptor' });
    const nacl = await convert({ ...inline, encryptor: { type: 'NACL' } });
    expect(nacl.keys).toHaveLength(1);
  });
});

const server = (app: string, more: object) => ({ app, communicationType: 'REST', ...more });

describe('servers', () => {
  test('Q2T on a socket, third party, P2P', async () => {
    const { connector, federation } = await convert({
      ...inline,
      serverConfigs: [
        server('ThirdParty', {
          serverAddress: 'http://localhost:9081',
          cors: { allowedOrigins: ['https://app.example', '*.example.org'] },
        }),
        server('Q2T', { serverAddress: 'unix:/data/tm.ipc' }),
        server('P2P', {
          serverAddress: 'https://one.example:9001/',
          bindingAddress: 'http://0.0.0.0:9301',
        }),
      ],
      peer: [
        { url: 'https://one.example:9001' },
        { url: 'https://two.example:9001/' },
        { url: 'https://two.example:9001' },
      ],
    });
    expect(connector).toEqual({
      socket: '/data/tm.ipc',
      host: 'localhost',
      thirdPartyPort: 9081,
      allowOrigin: ['https://app.example'],
    });
    expect(federation).toEqual({
      url: 'https://one.example:9001/',
      bind_address: '0.0.0.0:9301',
      peers: ['https://two.example:9001'],
      send: 'strict',
      key_validation: true,
      discovery: true,
      whitelist: [],
    });
    // A node takes it as it is.
    expect(FEDERATION.read(federation, { name: 'federation', folder })).toMatchObject({
      bind_address: { host: '0.0.0.0', port: 9301 },
      peers: ['https://two.example:9001'],
    });
  });

  test('Q2T on a port, ENCLAVE, ADMIN, one that is off, one that nobody knows', async () => {
    const { connector, notes } = await convert({
      ...inline,
      serverConfigs: [
        server('Q2T', { serverAddress: 'http://127.0.0.1:9101' }),
        server('ENCLAVE', { serverAddress: 'http://enclave:8080' }),
        server('ADMIN', { serverAddress: 'http://localhost:9090' }),
        server('P2P', { serverAddress: 'http://off:9001', enabled: false }),
        server('Q3T', { serverAddress: 'http://localhost:1' }),
        server('P2P', { serverAddress: 'grpc', communicationType: 'GRPC' }),
      ],
    });
    expect(connector).toEqual({ host: '127.0.0.1', port: 9101 });
    expect(said(notes, 'serverConfigs[1]')[0]).toContain('attested confidential VMs');
    expect(said(notes, 'serverConfigs[2]')).toHaveLength(1);
    expect(said(notes, 'serverConfigs[3]')[0]).toContain('not enabled');
    expect(said(notes, 'serverConfigs[4].app')[0]).toMatch(/^warning: "Q3T"/);
    expect(said(notes, 'serverConfigs[5].serverAddress')[0]).toMatch(/^warning/);
    expect(said(notes, 'serverConfigs[5].communicationType')[0]).toContain('REST');
  });

  test('of before 0.10: one server and a socket', async () => {
    const { connector, federation } = await convert({
      ...inline,
      unixSocketFile: 'tm.ipc',
      server: { hostName: 'http://old.example', port: 9001 },
    });
    expect(connector.socket).toBe(join(folder, 'tm.ipc'));
    expect(federation).toMatchObject({
      url: 'http://old.example:9001',
      bind_address: 'old.example:9001',
    });
  });

  describe('with TLS', () => {
    const strict = (sslConfig: object) => ({
      ...inline,
      serverConfigs: [
        server('P2P', {
          serverAddress: 'https://one.example:9001',
          sslConfig: { tls: 'STRICT', ...sslConfig },
        }),
      ],
    });
    const at = (name: string) => `serverConfigs[0].sslConfig.${name}`;

    test('PEM files and trust by certificates are taken', async () => {
      const { federation, notes } = await convert(
        strict({
          serverTlsCertificatePath: 'server.pem',
          serverTlsKeyPath: 'server.key',
          serverTrustCertificates: ['ca.pem'],
          serverTrustMode: 'CA',
          clientTlsCertificatePath: '/abs/client.pem',
          clientTlsKeyPath: '/abs/client.key',
          clientTrustMode: 'CA',
        }),
      );
      expect(federation.tls).toEqual({
        certificate_file: join(folder, 'server.pem'),
        key_file: join(folder, 'server.key'),
        trusted_ca_file: join(folder, 'ca.pem'),
        client_certificates: true,
      });
      expect(said(notes, at('clientTlsCertificatePath'))[0]).toMatch(/^no counterpart: one/);
      const place = { name: 'federation', folder };
      expect(FEDERATION.read(federation, place)?.tls?.key_file).toBe(
        join(folder, 'server.key'),
      );
      expect(said(notes, at('serverTrustMode'))[0]).toMatch(/^taken/);
    });

    test.each([
      ['TOFU', 'for being the first'],
      ['CA_OR_TOFU', 'for being the first'],
      ['WHITELIST', 'fingerprints, not certificates'],
      ['NONE', 'would let anybody in'],
    ])('trust mode %s has no counterpart, and why', async (mode, why) => {
      const { notes } = await convert(strict({ serverTrustMode: mode, clientTrustMode: mode }));
      for (const side of ['server', 'client']) {
        const [line = ''] = said(notes, at(`${side}TrustMode`));
        expect(line).toMatch(/^no counterpart/);
        expect(line).toContain(why);
      }
    });

    test('key stores are named with where their password is, and never the password', async () => {
      const stores = {
        serverKeyStore: 'server.jks',
        serverKeyStorePassword: 'in the file',
        serverTrustStore: 'trust.jks',
        clientKeyStore: 'client.jks',
        clientKeyStorePassword: 'ENC(abc)',
        clientTrustStore: 'clienttrust.jks',
        environmentVariablePrefix: 'P2P',
      };
      const { notes } = await convert(strict(stores), {
        P2P_TESSERA_SERVER_KEYSTORE_PWD: 'prefixed secret',
        TESSERA_SERVER_TRUSTSTORE_PWD: 'global secret',
      });
      const source = (name: string) =>
        /its password: (.*)\)$/.exec(said(notes, at(name))[0] ?? '')?.[1];
      expect(source('serverKeyStore')).toBe('$P2P_TESSERA_SERVER_KEYSTORE_PWD');
      expect(source('serverTrustStore')).toBe('$TESSERA_SERVER_TRUSTSTORE_PWD');
      expect(source('clientKeyStore')).toContain('encrypted under');
      expect(source('clientTrustStore')).toBe(
        'none is set, nor is $P2P_TESSERA_CLIENT_TRUSTSTORE_PWD',
      );
      const all = JSON.stringify(notes);
      for (const secret of ['in the file', 'prefixed secret', 'global secret', 'ENC(abc)']) {
        expect(all).not.toContain(secret);
      }
    });

    test('one way, and with several authorities', async () => {
      const { federation, notes } = await convert(
        strict({
          clientTlsCertificatePath: 'client.pem',
          clientTlsKeyPath: 'client.key',
          clientTrustCertificates: ['a.pem', 'b.pem'],
          clientAuth: false,
        }),
      );
      expect(federation.tls).toMatchObject({
        certificate_file: join(folder, 'client.pem'),
        trusted_ca_file: join(folder, 'a.pem'),
        client_certificates: false,
      });
      expect(said(notes, at('serverTrustCertificates'))[0]).toContain(join(folder, 'b.pem'));
    });

    test('on the ports that GoQuorum uses', async () => {
      const sslConfig = {
        tls: 'STRICT',
        serverTlsCertificatePath: 'q2t.pem',
        serverTlsKeyPath: 'q2t.key',
        serverTrustCertificates: ['geth-ca.pem'],
        serverTrustMode: 'CA',
      };
      const port = { serverAddress: 'https://127.0.0.1:9101', sslConfig };
      const { connector } = await convert({ ...inline, serverConfigs: [server('Q2T', port)] });
      expect(connector).toEqual({
        ...{ host: '127.0.0.1', port: 9101 },
        tlsCertificate: join(folder, 'q2t.pem'),
        tlsKey: join(folder, 'q2t.key'),
        tlsClientCa: join(folder, 'geth-ca.pem'),
      });
      const socket = { serverAddress: 'unix:/tm.ipc', sslConfig };
      const other = { ...port, sslConfig: { ...sslConfig, serverTlsCertificatePath: 'x.pem' } };
      const many = [server('Q2T', port), server('ThirdParty', other), server('Q2T', socket)];
      const { notes } = await convert({ ...inline, serverConfigs: many });
      expect(said(notes, 'serverConfigs[1].sslConfig')[0]).toContain('show one certificate');
      expect(said(notes, 'serverConfigs[2].sslConfig')[0]).toContain('speaks no TLS');
    });

    test('switched off says nothing', async () => {
      const { federation, notes } = await convert(
        strict({ tls: 'OFF', serverKeyStore: 'x.jks' }),
      );
      expect(federation.tls).toBeUndefined();
      expect(said(notes, at('serverKeyStore'))).toEqual([]);
    });
  });
});

describe('the rest', () => {
  test('residents of multiple private states', async () => {
    const { residents, multiplePrivateStates } = await convert({
      ...inline,
      features: { enableMultiplePrivateStates: 'true' },
      residentGroups: [
        { name: 'PS1', description: 'Private state 1', members: [one.publicKey] },
      ],
    });
    expect(multiplePrivateStates).toBe(true);
    expect(residents).toEqual([
      {
        privacyGroupId: 'UFMx',
        name: 'PS1',
        description: 'Private state 1',
        members: [one.publicKey],
      },
    ]);
  });

  test('a white list closes discovery; key validation is on in any case', async () => {
    const open = await convert(inline);
    expect(open.federation).toMatchObject({ discovery: true, key_validation: true });
    expect(said(open.notes, 'features.enableRemoteKeyValidation')[0]).toMatch(/^warning/);
    const closed = await convert({
      ...inline,
      useWhiteList: true,
      peer: [{ url: 'http://10.0.0.2:9001' }, { url: 'http://two.example:9001' }],
      features: { enableRemoteKeyValidation: true },
    });
    expect(closed.federation).toMatchObject({
      discovery: false,
      whitelist: ['10.0.0.2', 'two.example'],
    });
    expect(said(closed.notes, 'features.enableRemoteKeyValidation')[0]).toMatch(/^taken/);
    const fixed = await convert({ ...inline, disablePeerDiscovery: true });
    expect(fixed.federation.discovery).toBe(false);
  });

  test('alwaysSendTo, the database and orion mode have no counterpart', async () => {
    const { notes } = await convert({
      ...inline,
      alwaysSendTo: [two.publicKey],
      jdbc: { url: 'jdbc:h2:/db', username: 'sa', password: 'sesame' },
      mode: 'orion',
    });
    expect(said(notes, 'alwaysSendTo')[0]).toContain(two.publicKey);
    expect(said(notes, 'jdbc.url')[0]).toContain('concordat quorum import');
    expect(said(notes, 'mode')[0]).toContain('Besu');
    expect(JSON.stringify(notes)).not.toContain('sesame');
  });

  test('what is off or empty is not missed', () => {
    const config = {
      bootstrapNode: false,
      jdbc: { password: '' },
      keys: { keyVaultConfigs: [] },
    };
    expect(notesOnNames(config)).toEqual([]);
    expect(notesOnNames({ bootstrapNode: true })).toHaveLength(1);
  });

  test.each([
    ['useWhitelist', { useWhitelist: true }, 'did you mean useWhiteList?'],
    ['peers', { peers: [] }, 'did you mean peer?'],
    [
      'serverConfigs[0].sslConfig.serverTlsKeypath',
      { serverConfigs: [{ sslConfig: { serverTlsKeypath: 'x' } }] },
      'did you mean serverConfigs[0].sslConfig.serverTlsKeyPath?',
    ],
    ['keys.keyDatas', { keys: { keyDatas: [] } }, 'did you mean keys.keyData?'],
    ['qqqqqqqqqqqq', { qqqqqqqqqqqq: 1 }, 'and it is not taken'],
  ])('a setting of an unknown name, %s, is warned of', (setting, config, advice) => {
    const notes = notesOnNames(config);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatchObject({
      setting,
      kind: 'warning',
      text: expect.stringContaining(advice),
    });
  });
});

describe('overrides', () => {
  const file = () => {
    const path = join(folder, 'over.json');
    writeFileSync(
      path,
      JSON.stringify({ peer: [{ url: 'a' }], alwaysSendTo: ['x'], mode: 'x' }),
    );
    return path;
  };
  test.each([
    ['a text', 'mode=tessera', { mode: 'tessera' }],
    ['a flag', 'useWhiteList=true', { useWhiteList: true }],
    ['an item', 'peer[0].url=http://b', { peer: [{ url: 'http://b' }] }],
    ['a further item', 'peer[1].url=c', { peer: [{ url: 'a' }, { url: 'c' }] }],
    ['a list that grows', 'alwaysSendTo=y', { alwaysSendTo: ['x', 'y'] }],
    ['what was not there', 'jdbc.url=jdbc:h2', { jdbc: { url: 'jdbc:h2' } }],
    ['a value with =', 'mode=a=b', { mode: 'a=b' }],
  ])('%s', (_what, text, expected) => {
    expect(readTesseraConfig(file(), [text])).toMatchObject(expected);
  });
  test.each(['mode', '=x', 'peer[5].url=x', 'a..b=1', 'a[x]=1'])('%s is refused', (text) => {
    expect(() => readTesseraConfig(file(), [text])).toThrow('--override');
  });
  test('never reach the prototype of anything', () => {
    readTesseraConfig(file(), ['constructor.prototype.polluted=yes']);
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

test('the command writes files that our own readers take, and shows no private key', async () => {
  const path = join(folder, 'whole.json');
  writeFileSync(
    path,
    JSON.stringify({
      keys: { keyData: [one, two] },
      serverConfigs: [server('Q2T', { serverAddress: 'unix:/data/tm.ipc' })],
      features: { enableMultiplePrivateStates: true },
      residentGroups: [{ name: 'PS1', description: '', members: [one.publicKey] }],
      usewhitelist: true,
      jdbc: { username: 'sa', url: 'jdbc:h2:/db' },
    }),
  );
  const out = join(folder, 'out');
  const args = ['quorum', 'import-config', path, '--out', out, '--organisation', '2'];
  const service = ['--service', 'https://127.0.0.1:1', '--key', 'k.pem'];
  const ran = await runProgram([...args, ...service]);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(ran.stdout).toMatch(/^TAKEN\n/);
  expect(ran.stdout).toContain('WARNING\n  usewhitelist:');
  expect(ran.stdout).toContain('  jdbc.username, jdbc.url: the ledger takes the place');
  expect(ran.stdout).not.toContain(one.privateKey);
  const keys = readPartyKeys(join(out, 'party-keys.json'), 2).get(2) ?? [];
  expect(keys.map(({ publicKey }) => base64Of(publicKey))).toEqual([
    one.publicKey,
    two.publicKey,
  ]);
  expect(statSync(join(out, 'party-keys.json')).mode & 0o777).toBe(0o600);
  expect(readResidents(join(out, 'residents.json')).get(2)).toHaveLength(1);
  expect(JSON.parse(readFileSync(join(out, 'connector.json'), 'utf8'))).toEqual({
    service: ['https://127.0.0.1:1'],
    key: 'k.pem',
    socket: '/data/tm.ipc',
  });
  const again = await runProgram(args);
  expect(again).toMatchObject({ code: 3, stderr: expect.stringContaining('exists') });

  const json = await runProgram(['quorum', 'import-config', path, '--json']);
  expect(JSON.parse(json.stdout)).toMatchObject({
    ok: true,
    keys: [one.publicKey, two.publicKey],
    multiplePrivateStates: true,
    files: [],
  });
  expect(json.stdout).not.toContain(one.privateKey);
});

test('what is wrong with the call is said', async () => {
  mkdirSync(join(folder, 'sub'), { recursive: true });
  writeFileSync(join(folder, 'sub/broken.json'), '{');
  writeFileSync(join(folder, 'sub/list.json'), '[]');
  const cases: readonly (readonly [readonly string[], number, string])[] = [
    [[], 2, 'name one configuration'],
    [['a', 'b'], 2, 'name one configuration'],
    [[join(folder, 'none.json')], 3, 'none.json'],
    [[join(folder, 'sub/broken.json')], 3, 'broken.json'],
    [[join(folder, 'sub/list.json')], 3, 'a JSON object is expected'],
    [[join(folder, 'sub/list.json'), '--organisation', '0'], 2, '--organisation'],
  ];
  for (const [args, code, sentence] of cases) {
    const ran = await runProgram(['quorum', 'import-config', ...args]);
    expect(ran).toMatchObject({ code, stderr: expect.stringContaining(sentence) });
  }
  const action = await runProgram(['quorum', 'import-all']);
  expect(action).toMatchObject({ code: 2, stderr: expect.stringContaining('say what to do') });
});
