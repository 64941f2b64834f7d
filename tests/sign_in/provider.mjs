// A certified OpenID provider (npm `oidc-provider`) with an API behind it. Prints its address as soon as it listens.
import http from 'node:http';
import Provider from 'oidc-provider';

const lifetime = Number(process.env.TOKEN_SECONDS ?? 3600);
const server = http.createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'desktop',
      application_type: 'native',
      token_endpoint_auth_method: 'none',
      redirect_uris: ['http://127.0.0.1/callback', 'http://127.0.0.1/oauth/callback'],
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
    },
    {
      client_id: 'registered',
      client_secret: 'registered-secret',
      application_type: 'native',
      token_endpoint_auth_method: 'client_secret_post',
      redirect_uris: ['http://127.0.0.1/callback'],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
    },
    {
      client_id: 'service',
      client_secret: 'service-secret',
      redirect_uris: [],
      grant_types: ['client_credentials'],
      response_types: [],
    },
  ],
  cookies: { keys: ['of this test'] },
  scopes: ['openid', 'offline_access', 'read'],
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    revocation: { enabled: true },
  },
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: () => lifetime, AuthorizationCode: 60, ClientCredentials: () => lifetime, DeviceCode: Number(process.env.DEVICE_SECONDS ?? 60),
    Grant: 86400, Interaction: 3600, RefreshToken: 86400, Session: 86400,
  },
});

// What the test asks for: grants by kind, errors of the token endpoint.
const counts = { refreshes: 0, errors: [] };
provider.on('grant.success', (ctx) => { counts.refreshes += ctx.oidc.params.grant_type === 'refresh_token' ? 1 : 0; });
provider.on('grant.error', (ctx, error) => {
  if (error.error !== 'authorization_pending') counts.errors.push(`${error.error}: ${error.error_description}`);
});

const answer = provider.callback();
server.on('request', async (request, response) => {
  const url = new URL(request.url, issuer);
  const json = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  if (url.pathname === '/counts') return json(200, counts);
  if (!url.pathname.startsWith('/api/')) return answer(request, response);
  const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
  await new Promise((done) => setTimeout(done, Number(url.searchParams.get('wait') ?? 0)));
  const found = (await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token));
  if (!found?.isValid) return json(401, { message: `the token ${token} is not valid` });
  json(200, [{ id: url.searchParams.get('id') ?? '1', account: found.accountId ?? found.clientId }]);
});
console.log(issuer);
