/** A team of Cloudflare Access made for a test: its keys, the answer at `/cdn-cgi/access/certs`, and tokens signed with them. */

const AUDIENCE = "32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228";
const RS256 = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

export class Team {
  issuer = "https://acme.cloudflareaccess.com";
  audience = AUDIENCE;
  /** What the team publishes. */
  keys = [];
  /** How often it was asked. */
  asked = 0;
  #private = new Map();

  /** Makes a key, and publishes it. */
  async add(kid, { bits = 2048 } = {}) {
    const pair = await crypto.subtle.generateKey(
      { ...RS256, modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]) },
      true,
      ["sign", "verify"],
    );
    const { kty, n, e } = await crypto.subtle.exportKey("jwk", pair.publicKey);
    this.keys.push({ kid, kty, alg: "RS256", use: "sig", n, e });
    this.#private.set(kid, pair.privateKey);
    return this;
  }

  /** A token; what is undefined in the head or the claims is left out. */
  async token(claims = {}, head = {}, { signer = "first" } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const body = {
      iss: this.issuer,
      aud: [this.audience],
      exp: now + 600,
      nbf: now - 60,
      iat: now - 60,
      sub: "7335d417-61da-459d-899c-0a01c76a2f94",
      email: "user@example.com",
      type: "app",
      ...claims,
    };
    const signed = `${encode({ alg: "RS256", kid: signer, typ: "JWT", ...head })}.${encode(body)}`;
    const signature = await crypto.subtle.sign(
      RS256.name,
      this.#private.get(signer),
      new TextEncoder().encode(signed),
    );
    return `${signed}.${Buffer.from(signature).toString("base64url")}`;
  }

  certs() {
    this.asked += 1;
    return { keys: this.keys, public_cert: {}, public_certs: [] };
  }
}

export function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
