// Checks a delivery as its receiver does, with the npm package @nangohq/node. Arguments: the signing key, and a file with the
// delivery's body and headers. Prints what each check returned.
import { readFileSync } from 'node:fs';
import { Nango } from '@nangohq/node';

const [webhookSigningKey, file] = process.argv.slice(2);
const { body, headers } = JSON.parse(readFileSync(file, 'utf8'));
const nango = new Nango({ host: 'http://127.0.0.1', apiKey: 'unused', webhookSigningKey });
const other = new Nango({ host: 'http://127.0.0.1', apiKey: 'unused', webhookSigningKey: 'another' });
const signature = headers['x-nango-signature'];
console.log(
    JSON.stringify({
        request: nango.verifyIncomingWebhookRequest(body, headers),
        changed: nango.verifyIncomingWebhookRequest(`${body} `, headers),
        otherKey: other.verifyIncomingWebhookRequest(body, headers),
        plain: nango.verifyWebhookSignature(signature, JSON.parse(body)),
        plainOtherKey: other.verifyWebhookSignature(signature, JSON.parse(body)),
    }),
);
