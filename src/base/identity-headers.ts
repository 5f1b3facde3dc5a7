/**
 * Names under which proxies customarily pass a caller's certificate or identity on. Whoever faces
 * clients drops them: here only the connection says who is asking (design decision 6).
 */
export const IDENTITY_HEADERS: readonly string[] = [
  'x-forwarded-client-cert',
  'x-forwarded-user',
  'x-forwarded-tls-client-cert',
  'x-client-cert',
  'x-client-certificate',
  'x-ssl-cert',
  'x-ssl-client-cert',
  'ssl-client-cert',
  'client-cert',
  'client-cert-chain',
  'x-arr-clientcert',
  'x-ms-client-principal',
  'x-ms-client-principal-id',
];
