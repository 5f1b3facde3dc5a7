/**
 * Actions of the default constitution on organisations: those behind Quorum nodes, with their
 * certificates, party keys and residents.
 *
 * Members create, suspend and remove organisations. What would let somebody act as an organisation
 * or read its payloads needs more than their votes: a consent signed with the admin key of that
 * organisation. It signs, with ECDSA as COSE does on the key's curve (r ‖ s, in hexadecimal), the
 * JSON text of
 *
 *     ["concordat.consent", service id, organisation id, number, action, args without consent]
 *
 * whose arguments are sorted by name; `number` is one more than the consents given before, so that
 * none counts twice. An admin key that is lost is replaced by votes alone, but no sooner than seven
 * days after a first vote that everybody can see.
 */
export const ORGANISATION_ACTIONS = `
const ADMIN_KEY_DELAY_MS = 7 * 24 * 60 * 60 * 1000;
const orgs = 'concordat.organisations';
const orgCertificates = 'concordat.organisation_certificates';
const partyKeys = 'concordat.party_keys';
const newAdminKeys = 'concordat.pending_admin_keys';

const organisationId = matches(
  /^[A-Za-z0-9._-]{1,64}$/,
  'of 1 to 64 letters, digits, dots, _ or -',
);
const partyKey = matches(/^[A-Za-z0-9+/]{43}=$/, '32 bytes in base64');
// By the hexadecimal digits of a signature: what each curve hashes with.
const HASHES = { 128: 'SHA-256', 192: 'SHA-384', 264: 'SHA-512' };
const consentOf = (value, at) => {
  object(value, at);
  string(value.signature, at + '.signature');
  const known =
    HASHES[value.signature.length] !== undefined && /^[0-9a-f]*$/.test(value.signature);
  want(known, at + '.signature', 'a signature r, s in hexadecimal', value.signature);
};
const one = { organisation_id: organisationId };
const organisationOf = (id) => read(orgs, id) ?? fail('there is no organisation ' + show(id));

const sorted = (value) => {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((name) => [name, sorted(value[name])]),
  );
};
const fromHex = (text) =>
  Uint8Array.from(text.match(/../g), (pair) => Number.parseInt(pair, 16)).buffer;

// Gives back the row, with the consent counted.
const consented = (name, args) => {
  const { organisation_id, consent, ...others } = args;
  const row = organisationOf(organisation_id);
  if (row.admin_key === undefined)
    fail('organisation ' + organisation_id + ' has no admin key yet');
  const number = (row.consents ?? 0) + 1;
  const service = ccf.pemToId(readOne('service.info').cert);
  const text = JSON.stringify([
    'concordat.consent',
    service,
    organisation_id,
    number,
    name,
    sorted(others),
  ]);
  const ecdsa = { name: 'ECDSA', hash: HASHES[consent.signature.length] };
  const signature = fromHex(consent.signature);
  if (!ccf.crypto.verifySignature(ecdsa, row.admin_key, signature, bytes(text))) {
    fail('this is no consent of organisation ' + organisation_id + ' to ' + text);
  }
  return { ...row, consents: number };
};
const byConsent = (name, args, apply, also) =>
  action(
    name,
    { ...one, ...args, consent: consentOf },
    (given) => {
      const row = consented(name, given);
      write(orgs, given.organisation_id, apply(row, given) ?? row);
    },
    also,
  );

const certificatesOf = (id) => {
  const ids = [];
  each0(orgCertificates, (certificateId, owner) => {
    if (owner === id) ids.push(certificateId);
  });
  return ids;
};
const each0 = (name, visit) =>
  gov(name).forEach((value, key) => visit(ccf.bufToStr(key), ccf.bufToStr(value)));
const letIn = (id, cert) => {
  const certificateId = ccf.pemToId(cert);
  const owner = gov(orgCertificates).get(bytes(certificateId));
  if (owner !== undefined && ccf.bufToStr(owner) !== id)
    fail('this certificate is that of another organisation');
  gov('users.certs').set(bytes(certificateId), bytes(cert));
  gov(orgCertificates).set(bytes(certificateId), bytes(id));
};
const keepOut = (certificateId) => {
  remove(orgCertificates, certificateId);
  remove('users.certs', certificateId);
  remove('users.info', certificateId);
};

action('create_organisation', { ...one, name: string, admin_key: publicKey }, (args) => {
  const { organisation_id, name, admin_key } = args;
  if (has(orgs, organisation_id))
    fail('there is an organisation ' + show(organisation_id) + ' already');
  write(orgs, organisation_id, { name, party_keys: [], residents: [], admin_key, consents: 0 });
});

action('suspend_organisation', one, ({ organisation_id }) => {
  const row = organisationOf(organisation_id);
  if (row.suspended !== undefined) return;
  const suspended = {};
  for (const id of certificatesOf(organisation_id)) {
    const pem = gov('users.certs').get(bytes(id));
    if (pem !== undefined) suspended[id] = ccf.bufToStr(pem);
    keepOut(id);
  }
  write(orgs, organisation_id, { ...row, suspended });
});

action('resume_organisation', one, ({ organisation_id }) => {
  const row = organisationOf(organisation_id);
  for (const cert of Object.values(row.suspended ?? {})) letIn(organisation_id, cert);
  write(orgs, organisation_id, without(row, 'suspended'));
});

action('remove_organisation', one, ({ organisation_id }) => {
  const row = read(orgs, organisation_id);
  if (row === undefined) return;
  for (const id of certificatesOf(organisation_id)) keepOut(id);
  for (const key of row.party_keys) remove(partyKeys, key);
  remove(newAdminKeys, organisation_id);
  remove(orgs, organisation_id);
});

byConsent(
  'add_organisation_certificate',
  { cert: certificates },
  (row, { organisation_id, cert }) => {
    if (row.suspended !== undefined) fail('organisation ' + organisation_id + ' is suspended');
    letIn(organisation_id, cert);
  },
);
action('remove_organisation_certificate', { ...one, certificate_id: entityId }, (args) => {
  const { organisation_id, certificate_id } = args;
  const row = organisationOf(organisation_id);
  if (certificatesOf(organisation_id).includes(certificate_id)) keepOut(certificate_id);
  if (row.suspended === undefined) return;
  write(orgs, organisation_id, { ...row, suspended: without(row.suspended, certificate_id) });
});

byConsent('add_party_key', { party_key: partyKey }, (row, { organisation_id, party_key }) => {
  const owner = gov(partyKeys).get(bytes(party_key));
  if (owner !== undefined && ccf.bufToStr(owner) !== organisation_id) {
    fail('this party key is that of another organisation');
  }
  gov(partyKeys).set(bytes(party_key), bytes(organisation_id));
  const others = row.party_keys.filter((key) => key !== party_key);
  return { ...row, party_keys: [...others, party_key] };
});
action(
  'remove_party_key',
  { ...one, party_key: partyKey },
  ({ organisation_id, party_key }) => {
    const row = organisationOf(organisation_id);
    if (!row.party_keys.includes(party_key)) return;
    remove(partyKeys, party_key);
    write(orgs, organisation_id, {
      ...row,
      party_keys: row.party_keys.filter((key) => key !== party_key),
      residents: row.residents.map((resident) => ({
        ...resident,
        members: resident.members.filter((key) => key !== party_key),
      })),
    });
  },
);

// Of any bytes: Tessera makes a resident's id of its name.
const groupId = matches(
  /^(?=.{4,128}$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/,
  'base64 of 1 to 96 bytes',
);
const checkResident = (value, at) => {
  object(value, at);
  for (const name of Object.keys(value)) {
    oneOf('privacyGroupId', 'name', 'description', 'members')(name, at + '.' + name);
  }
  groupId(value.privacyGroupId, at + '.privacyGroupId');
  string(value.name, at + '.name');
  string(value.description, at + '.description');
  array(value.members, at + '.members');
  value.members.forEach((key, index) => partyKey(key, at + '.members[' + index + ']'));
};
byConsent('set_resident', { resident: checkResident }, (row, { resident }) => {
  for (const key of resident.members) {
    if (!row.party_keys.includes(key))
      fail('party key ' + key + ' is not one of this organisation');
  }
  const others = row.residents.filter(
    ({ privacyGroupId }) => privacyGroupId !== resident.privacyGroupId,
  );
  return { ...row, residents: [...others, resident] };
});
action('remove_resident', { ...one, privacy_group_id: groupId }, (args) => {
  const row = organisationOf(args.organisation_id);
  const residents = row.residents.filter(
    ({ privacyGroupId }) => privacyGroupId !== args.privacy_group_id,
  );
  write(orgs, args.organisation_id, { ...row, residents });
});

byConsent(
  'set_organisation_admin_key',
  { admin_key: publicKey },
  (row, { organisation_id, admin_key }) => {
    remove(newAdminKeys, organisation_id);
    return { ...row, admin_key };
  },
);
action(
  'replace_lost_admin_key',
  { ...one, admin_key: publicKey },
  ({ organisation_id, admin_key }) => {
    organisationOf(organisation_id);
    const from = new Date(Date.now() + ADMIN_KEY_DELAY_MS).toISOString();
    write(newAdminKeys, organisation_id, { admin_key, effective_from: from });
  },
);
action('complete_lost_admin_key', one, ({ organisation_id }) => {
  const waiting = read(newAdminKeys, organisation_id);
  if (waiting === undefined)
    fail('no admin key of organisation ' + organisation_id + ' waits to be replaced');
  if (Date.now() < Date.parse(waiting.effective_from)) {
    fail(
      'the admin key of organisation ' +
        organisation_id +
        ' is replaced no sooner than ' +
        waiting.effective_from,
    );
  }
  const row = organisationOf(organisation_id);
  remove(newAdminKeys, organisation_id);
  write(orgs, organisation_id, { ...row, admin_key: waiting.admin_key });
});
action('cancel_lost_admin_key', one, ({ organisation_id }) =>
  remove(newAdminKeys, organisation_id),
);
byConsent('refuse_admin_key_replacement', {}, (_row, { organisation_id }) =>
  remove(newAdminKeys, organisation_id),
);
`;
