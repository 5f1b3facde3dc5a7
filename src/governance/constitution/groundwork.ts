/**
 * The first part of the default constitution: what its actions are made of. This and its sisters
 * are JavaScript as text, because it runs in the interpreter and is data to the service.
 *
 * An action is `{ args, apply }`: a checker for each argument, and what it writes. Arguments that
 * no checker knows are refused, so that a misspelt one is not silently left out.
 */
export const GROUNDWORK = `
const fail = (message) => {
  throw new Error(message);
};
const show = (value) => (JSON.stringify(value) ?? 'undefined').slice(0, 100);
const want = (holds, at, what, value) =>
  holds || fail(at + ' must be ' + what + ', not ' + show(value));

const gov = (name) => ccf.kv['public:ccf.gov.' + name];
const bytes = ccf.strToBuf;
const SINGLETON = new ArrayBuffer(8);
const readAt = (table, key) => {
  const value = table.get(key);
  return value === undefined ? undefined : ccf.bufToJsonCompatible(value);
};
const read = (name, id) => readAt(gov(name), bytes(id));
const write = (name, id, value) => gov(name).set(bytes(id), ccf.jsonCompatibleToBuf(value));
const readOne = (name) => readAt(gov(name), SINGLETON);
const writeOne = (name, value) => gov(name).set(SINGLETON, ccf.jsonCompatibleToBuf(value));
const has = (name, id) => gov(name).has(bytes(id));
const remove = (name, id) => {
  if (has(name, id)) gov(name).delete(bytes(id));
};
const clear = (name) => gov(name).clear();
const each = (name, visit) =>
  gov(name).forEach((value, key) => visit(ccf.bufToStr(key), ccf.bufToJsonCompatible(value)));
const without = (object, name) => {
  const { [name]: _, ...rest } = object;
  return rest;
};

const string = (value, at) => want(typeof value === 'string', at, 'a string', value);
const boolean = (value, at) => want(typeof value === 'boolean', at, 'a boolean', value);
const integer = (low, high) => (value, at) =>
  want(
    Number.isInteger(value) && value >= low && value <= high,
    at,
    'a whole number from ' + low + ' to ' + high,
    value,
  );
const object = (value, at) =>
  want(
    typeof value === 'object' && value !== null && !Array.isArray(value),
    at,
    'an object',
    value,
  );
const array = (value, at) => want(Array.isArray(value), at, 'an array', value);
const oneOf =
  (...allowed) =>
  (value, at) =>
    want(allowed.includes(value), at, 'one of ' + allowed.join(', '), value);
const matches = (pattern, what) => (value, at) =>
  want(typeof value === 'string' && pattern.test(value), at, what, value);
const entityId = matches(/^[0-9a-f]{64}$/, '64 lowercase hexadecimal digits');
const hexDigits = (count) =>
  matches(new RegExp('^[0-9a-f]{' + count + '}$'), count + ' lowercase hexadecimal digits');
const certificates = (value, at) =>
  want(
    ccf.crypto.isValidX509CertBundle(value),
    at,
    'a bundle of X.509 certificates in PEM',
    value,
  );
const publicKey = (value, at) =>
  want(
    ccf.crypto.isValidPublicKey(value),
    at,
    'a public key in PEM (RSA of 2048 bits or more)',
    value,
  );
const anything = (value, at) => want(value !== undefined, at, 'given', value);
const optional = (check) => {
  const checked = (value, at) => {
    if (value !== undefined && value !== null) check(value, at);
  };
  checked.isOptional = true;
  return checked;
};

const checkArguments = (checks, args) => {
  if (checks === null) {
    want(args === null || args === undefined, 'args', 'null', args);
    return;
  }
  object(args, 'args');
  for (const name of Object.keys(args)) {
    if (!Object.hasOwn(checks, name)) fail('args has no member ' + show(name));
  }
  for (const [name, check] of Object.entries(checks)) check(args[name], name);
};

const actions = new Map();
const action = (name, args, apply, also) => actions.set(name, { args, apply, also });

const invalidateOtherOpenProposals = (proposalId) => {
  const infos = gov('proposals_info');
  infos.forEach((value, key) => {
    const info = ccf.bufToJsonCompatible(value);
    if (ccf.bufToStr(key) === proposalId || info.state !== 'Open') return;
    infos.set(key, ccf.jsonCompatibleToBuf({ ...info, state: 'Dropped' }));
  });
};
const serviceStatus = () => readOne('service.info')?.status;
const isOpen = () => serviceStatus() === 'Open';
const isActive = (memberId) => read('members.info', memberId)?.status === 'Active';
const activeMembers = () => {
  let count = 0;
  each('members.info', (_id, info) => {
    if (info.status === 'Active') count += 1;
  });
  return count;
};
`;
