// Calls every method of the npm package @nangohq/node against a server, and prints what each returned as one JSON object.
// Arguments: the server's URL, a key with every scope, and the token of the connection `main` of the integration `crm`.
import { Nango } from '@nangohq/node';

const [host, secretKey, token] = process.argv.slice(2);
const nango = new Nango({ host, secretKey });
const results = {};

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

const key = 'crm';
const one = { providerConfigKey: key, connectionId: 'one' };

// Providers and integrations
await call('listProviders', () => nango.listProviders({ search: 'CR' }));
await call('getProvider', () => nango.getProvider({ provider: 'crm' }));
await call('getProviderUnknown', () => nango.getProvider({ provider: 'nobody' }));
await call('getProviderTemplates', () => nango.getProviderTemplates({ provider: 'crm' }));
const credentials = { type: 'OAUTH2', client_id: 'app', client_secret: 's3cret', scopes: 'a,b' };
const created = { provider: 'crm', unique_key: 'crm-two', display_name: 'CRM', credentials };
await call('createIntegration', () => nango.createIntegration(created));
await call('createIntegrationTwice', () => nango.createIntegration(created));
await call('createQuickstartIntegration', () => nango.createQuickstartIntegration({ provider: 'crm', unique_key: 'crm-three' }));
await call('updateIntegration', () => nango.updateIntegration({ uniqueKey: 'crm-two' }, { display_name: 'CRM 2' }));
await call('listIntegrations', () => nango.listIntegrations());
await call('getIntegration', () => nango.getIntegration({ uniqueKey: 'crm-two' }, { include: ['webhook', 'credentials'] }));
await call('listFunctions', () => nango.listFunctions({ uniqueKey: key }, { type: 'sync' }));
await call('getFunction', () => nango.getFunction({ uniqueKey: key, name: 'create_contact' }));
await call('getFunctionCode', () => nango.getFunctionCode({ uniqueKey: key, name: 'contacts' }));
await call('deleteFunction', () => nango.deleteFunction({ uniqueKey: key, name: 'contacts' }, { type: 'sync' }));
await call('deleteIntegration', () => nango.deleteIntegration('crm-two'));
await call('getScriptsConfig', () => nango.getScriptsConfig());
await call('getScriptsConfigOpenAi', () => nango.getScriptsConfig('openai'));
await call('getEnvironmentVariables', () => nango.getEnvironmentVariables());

// Connections
const endUser = { id: 'user-1', email: 'ann@example.com', display_name: 'Ann' };
results.import = await post('/connections', {
    connection_id: 'one', provider_config_key: key, credentials: { type: 'API_KEY', apiKey: token }, end_user: endUser, tags: { Plan: 'team' },
});
results.importTokens = await post('/connections', {
    connection_id: 'two', provider_config_key: key, credentials: { type: 'OAUTH2', access_token: 'access-1', refresh_token: 'refresh-1' },
});
await call('listConnections', () => nango.listConnections({ userId: 'user-1', integrationId: ['crm', 'x'], tags: { plan: 'team', email: 'ann@example.com' }, limit: 10 }));
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
await until('records', () => nango.listRecords({ ...one, model: 'Contact' }), (page) => page.records?.length === 2);
await call('listRecords', () => nango.listRecords({ ...one, model: 'Contact', limit: 1, filter: 'added', modifiedAfter: '2020-01-01T00:00:00.000Z' }));
await call('listRecordsNext', () => nango.listRecords({ ...one, model: 'Contact', cursor: results.listRecords.next_cursor }));
await call('listRecordsIds', () => nango.listRecords({ ...one, model: 'Contact', ids: ['2', '9'] }));
await call('listRecordsUnknown', () => nango.listRecords({ ...one, connectionId: 'nobody', model: 'Contact' }));
await call('triggerSync', () => nango.triggerSync(key, ['contacts'], 'one'));
await call('triggerSyncAll', () => nango.triggerSync(key, undefined, 'one', { reset: true }));
await call('triggerSyncOld', () => nango.triggerSync(key, ['contacts'], 'one', 'full_refresh'));
await call('triggerSyncSwitch', () => nango.triggerSync(key, ['contacts'], 'one', true));
await call('triggerSyncUnknown', () => nango.triggerSync(key, ['nothing'], 'one'));
await call('pauseSync', () => nango.pauseSync(key, ['contacts'], 'one'));
await call('syncStatusPaused', () => nango.syncStatus(key, ['contacts'], 'one'));
await call('startSync', () => nango.startSync(key, [{ name: 'contacts', variant: 'base' }], 'one'));
await until('syncStatus', () => nango.syncStatus(key, '*', 'one'), (status) => status.syncs?.[0]?.status === 'SUCCESS');
await call('syncStatusAll', () => nango.syncStatus(key, ['contacts']));
await call('updateFrequency', () => nango.updateSyncConnectionFrequency(key, 'contacts', 'one', 'every 2 hours'));
await call('updateFrequencyWrong', () => nango.updateSyncConnectionFrequency(key, 'contacts', 'one', 'now and then'));
await call('updateFrequencyBack', () => nango.updateSyncConnectionFrequency(key, { name: 'contacts', variant: 'base' }, 'one', null));
const variant = { provider_config_key: key, connection_id: 'one', name: 'contacts', variant: 'v' };
await call('createSyncVariant', () => nango.createSyncVariant(variant));
await call('createSyncVariantTwice', () => nango.createSyncVariant(variant));
await call('createSyncVariantBase', () => nango.createSyncVariant({ ...variant, variant: 'base' }));
await until('recordsOfVariant', () => nango.listRecords({ ...one, model: 'Contact', variant: 'v' }), (page) => page.records?.length === 2);
await call('deleteSyncVariant', () => nango.deleteSyncVariant(variant));
await call('deleteSyncVariantTwice', () => nango.deleteSyncVariant(variant));
const last = results.records.records.at(-1)._nango_metadata.cursor;
await call('pruneRecords', () => nango.pruneRecords({ ...one, model: 'Contact', untilCursor: last, limit: 10 }));

// Actions
await call('triggerAction', () => nango.triggerAction(key, 'one', 'create_contact', { name: 'Cid' }));
await call('triggerActionUnknown', () => nango.triggerAction(key, 'one', 'nothing', {}));
await call('triggerActionRefused', () => nango.triggerAction(key, 'one', 'create_contact', { name: 'Cid', status: 422 }));
await call('triggerActionAsync', () => nango.triggerActionAsync(key, 'one', 'create_contact', { name: 'Dee' }));
await until('getAsyncActionResult', () => nango.getAsyncActionResult(results.triggerActionAsync), (result) => result.failed !== 404);
await call('getAsyncActionResultById', () => nango.getAsyncActionResult({ id: results.triggerActionAsync.id }));
await call('getAsyncActionResultUnknown', () => nango.getAsyncActionResult({ id: '00000000-0000-4000-8000-000000000000' }));

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

const methods = Object.getOwnPropertyNames(Nango.prototype).filter((name) => name !== 'constructor' && !name.startsWith('_'));
console.log(JSON.stringify({ methods, results }));
