/**
 * Actions of the default constitution on the service, its configuration and what it runs
 * (governance.md §6).
 */
export const SERVICE_ACTIONS = `
action(
  'transition_service_to_open',
  { next_service_identity: certificates, previous_service_identity: optional(certificates) },
  ({ next_service_identity, previous_service_identity }) => {
    const info = readOne('service.info') ?? fail('there is no service yet');
    if (info.status === 'Recovering' && !previous_service_identity) {
      fail('a service that recovers needs previous_service_identity and next_service_identity');
    }
    ccf.node.transitionServiceToOpen(
      previous_service_identity ? bytes(previous_service_identity) : undefined,
      bytes(next_service_identity),
    );
  },
);

action(
  'set_service_configuration',
  {
    reconfiguration_type: optional(oneOf('OneTransaction', 'TwoTransaction')),
    recovery_threshold: optional(integer(1, 254)),
    recent_cose_proposals_window_size: optional(integer(1, 10000)),
  },
  (args) => {
    const { recovery_threshold, ...others } = args;
    const given = Object.entries(others).filter(
      ([, value]) => value !== undefined && value !== null,
    );
    writeOne('service.config', { ...readOne('service.config'), ...Object.fromEntries(given) });
    if (recovery_threshold !== undefined && recovery_threshold !== null)
      setThreshold(recovery_threshold);
  },
  (args) => {
    if (Object.keys(args).length === 0) fail('it changes nothing');
  },
);

action('trigger_ledger_chunk', null, () => ccf.node.triggerLedgerChunk());
action('trigger_snapshot', null, () => ccf.node.triggerSnapshot());
action(
  'assert_service_identity',
  { service_identity: certificates },
  ({ service_identity }) => {
    const { cert } = readOne('service.info') ?? fail('there is no service yet');
    if (cert.trim() !== service_identity.trim())
      fail('this is not the identity of the service');
  },
);

const OPTIONS = ['max_heap_bytes', 'max_stack_bytes', 'max_execution_time_ms'];
action(
  'set_js_runtime_options',
  {
    max_heap_bytes: integer(0, 2 ** 53),
    max_stack_bytes: integer(0, 2 ** 53),
    max_execution_time_ms: integer(0, 2 ** 53),
    log_exception_details: optional(boolean),
    return_exception_details: optional(boolean),
    max_cached_interpreters: optional(integer(0, 1000000)),
  },
  (args) => writeOne('js_runtime_options', args),
);

const METHODS = ['get', 'head', 'post', 'put', 'patch', 'delete', 'options'];
const checkEndpoint = (endpoint, at) => {
  object(endpoint, at);
  string(endpoint.js_module, at + '.js_module');
  string(endpoint.js_function, at + '.js_function');
  oneOf('readwrite', 'readonly', 'historical')(endpoint.mode, at + '.mode');
  oneOf(
    'always',
    'sometimes',
    'never',
  )(endpoint.forwarding_required, at + '.forwarding_required');
  optional(oneOf('none', 'to_primary', 'to_backup'))(
    endpoint.redirection_strategy,
    at + '.redirection_strategy',
  );
  optional(object)(endpoint.openapi, at + '.openapi');
  optional(boolean)(endpoint.openapi_hidden, at + '.openapi_hidden');
  array(endpoint.authn_policies, at + '.authn_policies');
};
const checkBundle = (bundle, at) => {
  object(bundle, at);
  object(bundle.metadata, at + '.metadata');
  object(bundle.metadata.endpoints, at + '.metadata.endpoints');
  array(bundle.modules, at + '.modules');
  const names = new Set();
  bundle.modules.forEach((module, index) => {
    string(module?.name, at + '.modules[' + index + '].name');
    string(module?.module, at + '.modules[' + index + '].module');
    names.add(module.name);
  });
  for (const [path, methods] of Object.entries(bundle.metadata.endpoints)) {
    want(path.startsWith('/'), at + '.metadata.endpoints', 'paths that begin with /', path);
    object(methods, path);
    for (const [method, endpoint] of Object.entries(methods)) {
      oneOf(...METHODS)(method.toLowerCase(), path);
      checkEndpoint(endpoint, method + ' ' + path);
      if (!names.has(endpoint.js_module))
        fail(method + ' ' + path + ': no module ' + show(endpoint.js_module));
    }
  }
};
const clearApp = () => {
  for (const name of ['modules', 'modules_quickjs_bytecode', 'endpoints']) clear(name);
  gov('modules_quickjs_version').delete(SINGLETON);
  writeOne('interpreter.flush', true);
};
action(
  'set_js_app',
  { bundle: checkBundle, disable_bytecode_cache: optional(boolean) },
  (args) => {
    clearApp();
    for (const { name, module } of args.bundle.modules) {
      gov('modules').set(bytes('/' + name.replace(/^[/]/, '')), bytes(module));
    }
    for (const [path, methods] of Object.entries(args.bundle.metadata.endpoints)) {
      for (const [method, endpoint] of Object.entries(methods)) {
        const js_module = '/' + endpoint.js_module.replace(/^[/]/, '');
        write('endpoints', method.toUpperCase() + ' ' + path, { ...endpoint, js_module });
      }
    }
    if (!args.disable_bytecode_cache) ccf.refreshAppBytecodeCache();
  },
);
action('remove_js_app', null, clearApp);
action('refresh_js_app_bytecode_cache', null, () => ccf.refreshAppBytecodeCache());

action(
  'set_ca_cert_bundle',
  { name: string, cert_bundle: certificates },
  ({ name, cert_bundle }) => {
    write('tls.ca_cert_bundles', name, cert_bundle);
  },
);
action('remove_ca_cert_bundle', { name: string }, ({ name }) =>
  remove('tls.ca_cert_bundles', name),
);

const checkKeys = (jwks, at) => {
  object(jwks, at);
  array(jwks.keys, at + '.keys');
  jwks.keys.forEach((key, index) => {
    const place = at + '.keys[' + index + ']';
    object(key, place);
    string(key.kid, place + '.kid');
    oneOf('RSA', 'EC')(key.kty, place + '.kty');
    optional(string)(key.issuer, place + '.issuer');
    if (key.x5c !== undefined) array(key.x5c, place + '.x5c');
    else if (key.kty === 'RSA') {
      string(key.n, place + '.n');
      string(key.e, place + '.e');
    } else {
      string(key.crv, place + '.crv');
      string(key.x, place + '.x');
      string(key.y, place + '.y');
    }
  });
};
action(
  'set_jwt_issuer',
  {
    issuer: string,
    auto_refresh: optional(boolean),
    ca_cert_bundle_name: optional(string),
    jwks: optional(checkKeys),
  },
  ({ issuer, auto_refresh, ca_cert_bundle_name, jwks }) => {
    if (auto_refresh && !has('tls.ca_cert_bundles', ca_cert_bundle_name)) {
      fail('there is no ca_cert_bundle ' + show(ca_cert_bundle_name));
    }
    const row = { auto_refresh: auto_refresh === true };
    if (ca_cert_bundle_name) row.ca_cert_bundle_name = ca_cert_bundle_name;
    write('jwt.issuers', issuer, row);
    if (jwks) ccf.setJwtPublicSigningKeys(issuer, row, jwks);
  },
  ({ issuer, auto_refresh, ca_cert_bundle_name }) => {
    if (!auto_refresh) return;
    if (!ca_cert_bundle_name) fail('ca_cert_bundle_name is needed with auto_refresh');
    if (!/^https:[/][/][^/?#]+[^?#]*$/.test(issuer)) {
      fail('issuer must be an https URL without query and fragment to be refreshed');
    }
  },
);
action(
  'set_jwt_public_signing_keys',
  { issuer: string, jwks: checkKeys },
  ({ issuer, jwks }) => {
    const row = read('jwt.issuers', issuer) ?? fail('there is no issuer ' + show(issuer));
    ccf.setJwtPublicSigningKeys(issuer, row, jwks);
  },
);
action('remove_jwt_issuer', { issuer: string }, ({ issuer }) => {
  if (!has('jwt.issuers', issuer)) return;
  remove('jwt.issuers', issuer);
  ccf.removeJwtPublicSigningKeys(issuer);
});
`;
