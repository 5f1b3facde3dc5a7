/**
 * Every setting that Tessera's configuration may hold (0.8 to 22.x), and what became of those that
 * have no counterpart. A name that stands in no line here is warned of, with the nearest that does.
 */
import { nearestName } from '../../base/nearest-name.ts';

/** `taken`: read elsewhere. A sentence: why it has no counterpart. */
type Fate = 'taken' | { readonly why: string };

const taken: Fate = 'taken';
const without = (why: string): Fate => ({ why });

const DATABASE = without(
  'the ledger takes the place of the database; `concordat quorum import` moves what is in it',
);
const VAULT = without(
  'party keys lie sealed in the service; read this one out of the vault into a key file first',
);
const FIGURES = without('figures are served for Prometheus at /metrics, none are sent away');
const STORE_PASSWORD = without('certificates and keys are PEM files here, without a password');
const REPLY_HEADERS = without('what an allowed origin may send and read is fixed');

/** Names of settings; `[]` stands for each item of a list. */
const SETTINGS: Readonly<Record<string, Fate>> = {
  version: taken,
  mode: taken,
  useWhiteList: taken,
  disablePeerDiscovery: taken,
  bootstrapNode: without('every organisation inside is known to all nodes from the ledger'),
  unixSocketFile: taken,
  alwaysSendTo: taken,
  encryptor: taken,
  'encryptor.type': taken,
  'encryptor.properties': taken,
  jdbc: taken,
  'jdbc.url': DATABASE,
  'jdbc.username': DATABASE,
  'jdbc.password': DATABASE,
  'jdbc.driverClassPath': DATABASE,
  'jdbc.autoCreateTables': DATABASE,
  'jdbc.fetchSize': DATABASE,
  peer: taken,
  'peer[].url': taken,
  keys: taken,
  'keys.passwordFile': taken,
  'keys.passwords': taken,
  'keys.keyData': taken,
  'keys.keyData[].config': taken,
  'keys.keyData[].password': taken,
  'keys.keyData[].privateKey': taken,
  'keys.keyData[].publicKey': taken,
  'keys.keyData[].privateKeyPath': taken,
  'keys.keyData[].publicKeyPath': taken,
  'keys.keyData[].azureVaultPublicKeyId': VAULT,
  'keys.keyData[].azureVaultPrivateKeyId': VAULT,
  'keys.keyData[].azureVaultPublicKeyVersion': VAULT,
  'keys.keyData[].azureVaultPrivateKeyVersion': VAULT,
  'keys.keyData[].hashicorpVaultPublicKeyId': VAULT,
  'keys.keyData[].hashicorpVaultPrivateKeyId': VAULT,
  'keys.keyData[].hashicorpVaultSecretEngineName': VAULT,
  'keys.keyData[].hashicorpVaultSecretName': VAULT,
  'keys.keyData[].hashicorpVaultSecretVersion': VAULT,
  'keys.keyData[].awsSecretsManagerPublicKeyId': VAULT,
  'keys.keyData[].awsSecretsManagerPrivateKeyId': VAULT,
  'keys.keyVaultConfigs': VAULT,
  'keys.keyVaultConfig': VAULT,
  'keys.azureKeyVaultConfig': VAULT,
  'keys.hashicorpKeyVaultConfig': VAULT,
  features: taken,
  'features.enableRemoteKeyValidation': taken,
  'features.enablePrivacyEnhancements': taken,
  'features.enableMultiplePrivateStates': taken,
  residentGroups: taken,
  'residentGroups[].name': taken,
  'residentGroups[].description': taken,
  'residentGroups[].members': taken,
  server: taken,
  'server.hostName': taken,
  'server.port': taken,
  'server.grpcPort': without('only REST is spoken'),
  'server.communicationType': without('only REST is spoken'),
  'server.bindingAddress': taken,
  serverConfigs: taken,
  'serverConfigs[].app': taken,
  'serverConfigs[].enabled': taken,
  'serverConfigs[].serverAddress': taken,
  'serverConfigs[].bindingAddress': taken,
  'serverConfigs[].communicationType': taken,
  'serverConfigs[].properties': without('none of the underlying web server is there'),
  'serverConfigs[].cors': taken,
  'serverConfigs[].cors.allowedOrigins': taken,
  'serverConfigs[].cors.allowedMethods': REPLY_HEADERS,
  'serverConfigs[].cors.allowedHeaders': REPLY_HEADERS,
  'serverConfigs[].cors.allowCredentials': REPLY_HEADERS,
  ...servers(['server', 'serverConfigs[]']),
};

function servers(places: readonly string[]): Readonly<Record<string, Fate>> {
  const shared: Readonly<Record<string, Fate>> = {
    influxConfig: FIGURES,
    sslConfig: taken,
    'sslConfig.tls': taken,
    'sslConfig.clientAuth': taken,
    'sslConfig.serverTrustMode': taken,
    'sslConfig.clientTrustMode': taken,
    'sslConfig.serverTlsKeyPath': taken,
    'sslConfig.serverTlsCertificatePath': taken,
    'sslConfig.serverTrustCertificates': taken,
    'sslConfig.clientTlsKeyPath': taken,
    'sslConfig.clientTlsCertificatePath': taken,
    'sslConfig.clientTrustCertificates': taken,
    'sslConfig.serverKeyStore': taken,
    'sslConfig.serverTrustStore': taken,
    'sslConfig.clientKeyStore': taken,
    'sslConfig.clientTrustStore': taken,
    'sslConfig.serverKeyStorePassword': STORE_PASSWORD,
    'sslConfig.serverTrustStorePassword': STORE_PASSWORD,
    'sslConfig.clientKeyStorePassword': STORE_PASSWORD,
    'sslConfig.clientTrustStorePassword': STORE_PASSWORD,
    'sslConfig.knownClientsFile': taken,
    'sslConfig.knownServersFile': taken,
    'sslConfig.environmentVariablePrefix': taken,
    'sslConfig.sslConfigType': taken,
    'sslConfig.generateKeyStoreIfNotExisted': without(
      'nothing is made up on the way: make a key with openssl, or take the one there is',
    ),
    'sslConfig.excludeCipherSuites': without(
      'TLS 1.3, and of 1.2 what is sound, is all there is',
    ),
  };
  return Object.fromEntries(
    places.flatMap((place) =>
      Object.entries(shared).map(([name, fate]) => [`${place}.${name}`, fate] as const),
    ),
  );
}

/** One thing an operator is told about a setting. */
export interface SettingNote {
  readonly setting: string;
  readonly kind: 'taken' | 'no counterpart' | 'warning';
  readonly text: string;
}

/** What there is to say of a configuration's names alone, whatever their values. */
export function notesOnNames(given: unknown): readonly SettingNote[] {
  return notesAt(given, '', '');
}

/** `shown` counts list items, `known` has `[]` for them. */
function notesAt(given: unknown, shown: string, known: string): readonly SettingNote[] {
  if (Array.isArray(given)) {
    return given.flatMap((item, index) => notesAt(item, `${shown}[${index}]`, `${known}[]`));
  }
  if (typeof given !== 'object' || given === null) return [];
  return Object.entries(given).flatMap(([name, value]) => {
    const setting = shown === '' ? name : `${shown}.${name}`;
    const path = known === '' ? name : `${known}.${name}`;
    const fate = Object.hasOwn(SETTINGS, path) ? SETTINGS[path] : undefined;
    if (fate === undefined) return [unknownSetting(setting, name, known)];
    if (fate !== 'taken') {
      return saysNothing(value)
        ? []
        : [{ setting, kind: 'no counterpart' as const, text: fate.why }];
    }
    // What lies within these is free: key material, properties of a curve.
    return OPAQUE.has(path) ? [] : notesAt(value, setting, path);
  });
}

/** Samples write out what is off and what is empty; nobody misses that. */
function saysNothing(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return value === null || value === false || value === 'false' || value === '';
}

const OPAQUE = new Set(['keys.keyData[].config', 'encryptor.properties']);

function unknownSetting(setting: string, name: string, known: string): SettingNote {
  const prefix = known === '' ? '' : `${known}.`;
  const names = Object.keys(SETTINGS)
    .filter((path) => path.startsWith(prefix))
    .map((path) => path.slice(prefix.length))
    .filter((rest) => !/[.[]/.test(rest));
  const near = nearestName(name, names);
  const place = setting.slice(0, setting.length - name.length);
  const advice =
    near === undefined
      ? `Tessera has no setting of this name, and it is not taken`
      : `Tessera has no setting of this name, and it is not taken; did you mean ${place}${near}?`;
  return { setting, kind: 'warning', text: advice };
}
