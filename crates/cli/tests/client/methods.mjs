// Calls every method of the npm package @nangohq/node against a server, and prints what each returned as one JSON object, with
// the methods that the package has and those that were called here.
// Arguments: the server's URL, a key with every scope, and a token that the API of the integration `work` accepts.
import { createServer } from 'node:http';
import { Nango } from '@nangohq/node';

const [host, secretKey, token] = process.argv.slice(2);
const results = {};

// The client, which notes the methods that this program calls; those that methods call themselves do not count.
const called = new Set();
function noting(client) {
    return new Proxy(client, {
        get(target, name) {
            const found = target[name];
            if (typeof found !== 'function') return found;
            called.add(name);
            return found.bind(target);
        },
    });
}
const nango = noting(new Nango({ host, secretKey }));

// A receiver of webhooks on this machine.
const deliveries = [];
const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
        deliveries.push({ headers: request.headers, body, told: JSON.parse(body) });
        response.end();
    });
});
await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));

// What a method returned: the data of an answer, or the status and code of an error.
async function call(name, method) {
    try {
        const value = await method();
        const isAnswer = value && typeof value === 'object' && 'status' in value && 'config' in value;
        results[name] = isAnswer ? { status: value.status, data: value.data, headers: { ...value.headers } } : value;
    } catch (error) {
        results[name] = error.response ? { failed: error.response.status, code: error.response.data?.error?.code } : { threw: error.message };
    }
    return results[name];
}

async function until(name, method, done) {
    for (;;) {
        if (done(await call(name, method))) return results[name];
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

async function post(path, body) {
    const headers = { authorization: `Bearer ${secretKey}`, 'content-type': 'application/json' };
    const answer = await fetch(`${nango.serverUrl}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    return { status: answer.status, data: await answer.json() };
}

const key = 'work';
const one = { providerConfigKey: key, connectionId: 'one' };

// A destination of webhooks, in the format that the server was started with.
const hook = await post('/webhooks', { id: 'host', url: `http://127.0.0.1:${receiver.address().port}/hook` });
results.destination = hook.data.destination;
const verifier = noting(new Nango({ host, apiKey: 'unused', webhookSigningKey: hook.data.secret }));
const stranger = new Nango({ host, apiKey: 'unused', webhookSigningKey: 'another' });

// Providers and integrations
await call('listProviders', () => nango.listProviders({ search: 'GITH' }));
await call('getProvider', () => nango.getProvider({ provider: 'github' }));
await call('getProviderUnknown', () => nango.getProvider({ provider: 'nobody' }));
await call('getProviderTemplates', () => nango.getProviderTemplates({ provider: 'github' }));
const credentials = { type: 'OAUTH2', client_id: 'app', client_secret: 's3cret', scopes: 'a,b' };
const created = { provider: 'github', unique_key: 'work-two', display_name: 'GitHub', credentials };
await call('createIntegration', () => nango.createIntegration(created));
await call('createIntegrationTwice', () => nango.createIntegration(created));
await call('createQuickstartIntegration', () => nango.createQuickstartIntegration({ provider: 'github', unique_key: 'work-three' }));
await call('updateIntegration', () => nango.updateIntegration({ uniqueKey: 'work-two' }, { display_name: 'GitHub 2' }));
await call('listIntegrations', () => nango.listIntegrations());
await call('getIntegration', () => nango.getIntegration({ uniqueKey: 'work-two' }, { include: ['webhook', 'credentials'] }));
await call('listFunctions', () => nango.listFunctions({ uniqueKey: key }, { type: 'sync' }));
await call('getFunction', () => nango.getFunction({ uniqueKey: key, name: 'create_issue' }));
await call('getFunctionCode', () => nango.getFunctionCode({ uniqueKey: key, name: 'issues' }));
await call('deleteFunction', () => nango.deleteFunction({ uniqueKey: key, name: 'issues' }, { type: 'sync' }));
await call('deleteIntegration', () => nango.deleteIntegration('work-two'));
await call('getScriptsConfig', () => nango.getScriptsConfig());
await call('getScriptsConfigOpenAi', () => nango.getScriptsConfig('openai'));
await call('getEnvironmentVariables', () => nango.getEnvironmentVariables());

// Connections
const endUser = { id: 'user-1', email: 'ann@example.com', display_name: 'Ann' };
results.importMain = await post('/connections', { connection_id: 'main', provider_config_key: key, credentials: { type: 'API_KEY', apiKey: token } });
results.import = await post('/connections', {
    connection_id: 'one', provider_config_key: key, credentials: { type: 'API_KEY', apiKey: token }, end_user: endUser, tags: { Plan: 'team' },
});
results.importTokens = await post('/connections', {
    connection_id: 'two', provider_config_key: key, credentials: { type: 'OAUTH2', access_token: 'access-1', refresh_token: 'refresh-1' },
});
await call('listConnections', () => nango.listConnections({ userId: 'user-1', integrationId: ['work', 'x'], tags: { plan: 'team', email: 'ann@example.com' }, limit: 10 }));
await call('listConnectionsOld', () => nango.listConnections(undefined, 'TWO', { limit: 1 }));
await call('listConnectionsPage', () => nango.listConnections({ limit: 1, page: 2 }));
await call('getConnection', () => nango.getConnection(key, 'one'));
await call('getConnectionRefresh', () => nango.getConnection(key, 'two', false, true));
await call('getConnectionUnknown', () => nango.getConnection(key, 'nobody'));
await call('getConnectionDetails', () => nango.getConnectionDetails(one));
await call('getToken', () => nango.getToken(key, 'two'));
await call('getTokenOfKey', () => nango.getToken(key, 'one'));
await call('getRawTokenResponse', () => nango.getRawTokenResponse(key, 'two'));
await call('patchConnection', () => nango.patchConnection({ connectionId: 'two', provider_config_key: key }, { end_user: { id: 'user-2' }, tags: { plan: 'solo' } }));
await call('setMetadata', () => nango.setMetadata(key, ['one', 'two'], { team: 'core', level: 1 }));
await call('updateMetadata', () => nango.updateMetadata(key, 'one', { level: 2 }));
await call('getMetadata', () => nango.getMetadata(key, 'one'));
await call('setMetadataUnknown', () => nango.setMetadata(key, ['one', 'nobody'], {}));
await call('waitForConnection', () => nango.waitForConnection(key, 'user-2'));

// Syncs and records
await until('records', () => nango.listRecords({ ...one, model: 'Issue' }), (page) => page.records?.length === 2);
await call('listRecords', () => nango.listRecords({ ...one, model: 'Issue', limit: 1, filter: 'added', modifiedAfter: '2020-01-01T00:00:00.000Z' }));
await call('listRecordsNext', () => nango.listRecords({ ...one, model: 'Issue', cursor: results.listRecords.next_cursor }));
await call('listRecordsIds', () => nango.listRecords({ ...one, model: 'Issue', ids: ['2', '9'] }));
await call('listRecordsUnknown', () => nango.listRecords({ ...one, connectionId: 'nobody', model: 'Issue' }));
await call('triggerSync', () => nango.triggerSync(key, ['issues'], 'one'));
await call('triggerSyncAll', () => nango.triggerSync(key, undefined, 'one', { reset: true }));
await call('triggerSyncOld', () => nango.triggerSync(key, ['issues'], 'one', 'full_refresh'));
await call('triggerSyncSwitch', () => nango.triggerSync(key, ['issues'], 'one', true));
await call('triggerSyncUnknown', () => nango.triggerSync(key, ['nothing'], 'one'));
await call('pauseSync', () => nango.pauseSync(key, ['issues'], 'one'));
await call('syncStatusPaused', () => nango.syncStatus(key, ['issues'], 'one'));
await call('startSync', () => nango.startSync(key, [{ name: 'issues', variant: 'base' }], 'one'));
await until('syncStatus', () => nango.syncStatus(key, '*', 'one'), (status) => status.syncs?.[0]?.status === 'SUCCESS');
await call('syncStatusAll', () => nango.syncStatus(key, ['issues']));
await call('updateFrequency', () => nango.updateSyncConnectionFrequency(key, 'issues', 'one', 'every 2 hours'));
await call('updateFrequencyWrong', () => nango.updateSyncConnectionFrequency(key, 'issues', 'one', 'now and then'));
await call('updateFrequencyBack', () => nango.updateSyncConnectionFrequency(key, { name: 'issues', variant: 'base' }, 'one', null));
const variant = { provider_config_key: key, connection_id: 'one', name: 'issues', variant: 'v' };
await call('createSyncVariant', () => nango.createSyncVariant(variant));
await call('createSyncVariantTwice', () => nango.createSyncVariant(variant));
await call('createSyncVariantBase', () => nango.createSyncVariant({ ...variant, variant: 'base' }));
await until('recordsOfVariant', () => nango.listRecords({ ...one, model: 'Issue', variant: 'v' }), (page) => page.records?.length === 2);
await call('deleteSyncVariant', () => nango.deleteSyncVariant(variant));
await call('deleteSyncVariantTwice', () => nango.deleteSyncVariant(variant));
const last = results.records.records.at(-1)._nango_metadata.cursor;
await call('pruneRecords', () => nango.pruneRecords({ ...one, model: 'Issue', untilCursor: last, limit: 10 }));

// Actions
await call('triggerAction', () => nango.triggerAction(key, 'one', 'create_issue', { title: 'Cid' }));
await call('triggerActionUnknown', () => nango.triggerAction(key, 'one', 'nothing', {}));
await call('triggerActionRefused', () => nango.triggerAction(key, 'one', 'create_issue', { title: 'refused' }));
await call('triggerActionAsync', () => nango.triggerActionAsync(key, 'one', 'create_issue', { title: 'Dee' }));
await until('getAsyncActionResult', () => nango.getAsyncActionResult(results.triggerActionAsync), (result) => result.failed !== 404);
await call('getAsyncActionResultById', () => nango.getAsyncActionResult({ id: results.triggerActionAsync.id }));
await call('getAsyncActionResultUnknown', () => nango.getAsyncActionResult({ id: '00000000-0000-4000-8000-000000000000' }));

await call('triggerActionAsyncRefused', () => nango.triggerActionAsync(key, 'one', 'create_issue', { title: 'refused' }));
await until('getAsyncActionResultRefused', () => nango.getAsyncActionResult(results.triggerActionAsyncRefused), (result) => result.failed !== 404);

// Requests to the provider
const headers = { 'X-Own': 'yes', Accept: 'text/plain' };
await call('get', () => nango.get({ ...one, endpoint: '/echo?a=1', headers, params: { b: 'x y', c: '1,2' } }));
await call('post', () => nango.post({ ...one, endpoint: 'echo', data: { name: 'Eve' } }));
await call('put', () => nango.put({ ...one, endpoint: '/echo', data: 'a=1&b=2' }));
await call('patch', () => nango.patch({ ...one, endpoint: '/echo', data: { a: 1 } }));
await call('delete', () => nango.delete({ ...one, endpoint: '/echo', data: { a: 1 } }));
await call('proxyRetries', () => nango.proxy({ ...one, endpoint: '/flaky', retries: 3, retryOn: [404] }));
await call('proxyNotFound', () => nango.proxy({ ...one, endpoint: '/status/404' }));
await call('proxyElsewhere', () => nango.proxy({ ...one, endpoint: '/echo', baseUrlOverride: 'https://evil.example' }));

// Sign-ins of end users, and the end
await call('createConnectSession', () => nango.createConnectSession({ end_user: endUser, allowed_integrations: [key] }));
await call('createReconnectSession', () => nango.createReconnectSession({ connection_id: 'one', integration_id: key }));
await call('deleteConnection', () => nango.deleteConnection(key, 'two'));
await call('deleteConnectionTwice', () => nango.deleteConnection(key, 'two'));

// Deliveries: of a sync, of a sign-in, and of actions that ended
results.headers = nango.enrichHeaders({ 'x-own': 'yes' });
async function delivered(name, fits) {
    for (;;) {
        const found = deliveries.find(({ told }) => fits(told));
        if (!found) {
            await new Promise((resolve) => setTimeout(resolve, 50));
            continue;
        }
        const { headers, body, told } = found;
        const signature = headers['x-nango-signature'];
        results[name] = {
            told,
            request: verifier.verifyIncomingWebhookRequest(body, headers),
            changed: verifier.verifyIncomingWebhookRequest(`${body} `, headers),
            strangers: stranger.verifyIncomingWebhookRequest(body, headers),
            plain: verifier.verifyWebhookSignature(signature, told),
            plainStrangers: stranger.verifyWebhookSignature(signature, told),
        };
        return;
    }
}
await delivered('deliveryOfSync', (told) => told.type === 'sync' && told.connectionId === 'one' && told.syncVariant === 'base');
await delivered('deliveryOfSignIn', (told) => told.type === 'auth' && told.connectionId === 'one');
const { id } = results.triggerActionAsync;
await delivered('deliveryOfAction', (told) => told.type === 'async_action' && told.payload.id === id);
await delivered('deliveryOfFailedAction', (told) => told.type === 'async_action' && told.payload.id === results.triggerActionAsyncRefused.id);
receiver.close();

const methods = Object.getOwnPropertyNames(Nango.prototype).filter((name) => name !== 'constructor' && !name.startsWith('_'));
console.log(JSON.stringify({ methods, called: [...called], results }));
