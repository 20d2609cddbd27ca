// What each name in a header and in a payload means, in a sentence. Pure.
//
// Rules: registered names as their standards say (RFC 7515, 7519, 9068, OpenID Connect); others only where everybody
// meets them. A name that is not here is the issuer's own, and so it is said.

const HEADER = {
  alg: "How it is signed. Whoever verifies must know beforehand which one to expect, and not ask the token.",
  apu: "About the sender, for the key agreement.",
  apv: "About the recipient, for the key agreement.",
  b64: "false: the payload is not base64url but text as it is (RFC 7797).",
  crit: "Names in this header that a verifier must understand, or refuse the token.",
  cty: "What is inside. JWT: another token.",
  enc: "How the content is encrypted.",
  epk: "The sender's one-time public key.",
  iv: "Used to encrypt the key.",
  jku: "An address to get the keys from. A verifier that follows it trusts whoever wrote the token.",
  jwk: "A key, brought along by the token itself. A verifier that uses it trusts anybody.",
  kid: "Which key of the issuer's set has signed it.",
  nonce: "Microsoft's: the signature was made over another text than this. It cannot be verified by others, and is not meant to be.",
  p2c: "How often the password is hashed.",
  p2s: "The salt of the password.",
  tag: "Of the encrypted key.",
  typ: "What kind of token it is. at+jwt: an access token (RFC 9068). JWT: any kind.",
  url: "The address that it was made for (ACME).",
  x5c: "The certificate of the key, brought along.",
  x5t: "SHA-1 of the key's certificate.",
  "x5t#S256": "SHA-256 of the key's certificate.",
  x5u: "An address of the certificate. A verifier that follows it trusts whoever wrote the token.",
  zip: "Compressed before it was encrypted.",
};

const PAYLOAD = {
  acr: "How strongly the person was authenticated, by the issuer's own scale.",
  act: "Who acts in the subject's name (RFC 8693).",
  address: "Postal address.",
  amr: "How the person was authenticated: pwd, otp, hwk and others (RFC 8176).",
  appid: "The client, as Microsoft calls it.",
  at_hash: "Binds this ID token to an access token.",
  ath: "Hash of the access token that goes with this proof (DPoP).",
  aud: "For whom it is meant. A service that is not named here must refuse it.",
  auth_time: "When the person last proved who they are.",
  azp: "The client that it was issued to.",
  birthdate: "Date of birth.",
  c_hash: "Binds this ID token to an authorization code.",
  client_id: "The program that asked for it.",
  cnf: "The key that whoever presents it must prove to have (RFC 7800). Without the proof it is worth nothing.",
  email: "E-mail address.",
  email_verified: "Whether the issuer has checked the address.",
  entitlements: "What the subject may do.",
  events: "What has happened: a security event token (RFC 8417).",
  exp: "From this moment on it is refused.",
  family_name: "Family name.",
  given_name: "Given name.",
  groups: "Groups of the subject.",
  hd: "The organisation's domain, as Google calls it.",
  htm: "The method of the request that this proof is for (DPoP).",
  htu: "The address of the request that this proof is for (DPoP).",
  iat: "When it was made.",
  iss: "Who made it. Its keys are to be taken from there, and from nowhere else.",
  jti: "Its own identifier, to refuse it when it comes a second time, or by name.",
  locale: "Language of the person.",
  may_act: "Who may act in the subject's name (RFC 8693).",
  name: "Full name.",
  nbf: "Until this moment it is refused.",
  nonce: "Binds it to one sign-in, so that it cannot be slipped into another.",
  oid: "The person, as Microsoft calls it.",
  org_id: "The organisation.",
  permissions: "What the subject may do.",
  phone_number: "Telephone number.",
  picture: "Address of a picture.",
  preferred_username: "How the person likes to be called. It may change and may be somebody else's tomorrow.",
  realm_access: "Roles in the realm, as Keycloak calls it.",
  resource_access: "Roles by client, as Keycloak calls them.",
  roles: "What the subject may do, by role. True when the token was made, not necessarily now.",
  s_hash: "Binds this ID token to the state of the sign-in.",
  scope: "What the client may do, words with blanks between.",
  scp: "What the client may do, as Microsoft calls it.",
  sid: "The session that it was made from. When the session ends, this should no longer count.",
  sub: "Whom it speaks of: unique with this issuer, and never given to another.",
  tid: "The tenant, as Microsoft calls it.",
  token_use: "Which kind of token it is, as Amazon calls it: access or id.",
  updated_at: "When the person's data last changed.",
  upn: "The person's name in the directory, as Microsoft calls it.",
  ver: "Version of the token's form, or of the session.",
  zoneinfo: "Time zone of the person.",
};

const ALGORITHMS = {
  HS: "HMAC: one shared secret signs and verifies. Whoever can verify it can also write one.",
  RS: "RSA, PKCS #1 v1.5: a private key signs, its public half verifies.",
  PS: "RSA-PSS: a private key signs, its public half verifies.",
  ES: "ECDSA: a private key signs, its public half verifies.",
  Ed: "Ed25519: a private key signs, its public half verifies.",
};

/** The names whose values are moments, in seconds since 1970. */
export const MOMENTS = new Set(["exp", "nbf", "iat", "auth_time", "updated_at"]);

/** A sentence about a name in the header, or null. */
export function aboutHeader(name, value) {
  if (name === "alg" && typeof value === "string") return aboutAlgorithm(value) ?? HEADER.alg;
  return Object.hasOwn(HEADER, name) ? HEADER[name] : null;
}

/** A sentence about a claim, or null. */
export function aboutClaim(name) {
  return Object.hasOwn(PAYLOAD, name) ? PAYLOAD[name] : null;
}

function aboutAlgorithm(alg) {
  if (alg.toLowerCase() === "none") return "Not signed at all: anybody can write such a token.";
  if (!/^(?:[HRPE]S(?:256|384|512)|EdDSA|Ed25519)$/.test(alg)) return null;
  return ALGORITHMS[alg.slice(0, 2)];
}
