// OpenAI's client for Node against a running gateway: node client.mjs MODULES URL MODEL...  Prints what it got as JSON.
import { createRequire } from "node:module";

const [modules, url, ...models] = process.argv.slice(2);
const { OpenAI } = createRequire(`${modules}/`)("openai");
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any", maxRetries: 0 });
const messages = [{ role: "user", content: "Where are you?" }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
const got = {};

for (const model of models) {
  const whole = await client.chat.completions.create({ model, messages });
  const stream = await client.chat.completions.create({ model, messages, stream: true, stream_options: { include_usage: true } });
  let text = "";
  let usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  const called = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
  let failed = null;
  try {
    for await (const _ of await client.chat.completions.create({
      model: `${model}-mbreak`, messages: [{ role: "user", content: "break" }], stream: true,
    }));
  } catch (error) {
    failed = error.message;
  }
  got[model] = {
    whole: whole.choices[0].message.content,
    text,
    usage: [usage.prompt_tokens, usage.completion_tokens],
    calls: called.choices[0].message.tool_calls.map((call) => [call.id, JSON.parse(call.function.arguments)]),
    failed,
  };
}
got.models = [];
for await (const model of client.models.list()) got.models.push(model.id);
try {
  await client.chat.completions.create({ model: "none", messages });
} catch (error) {
  got.missing = error.status;
}
console.log(JSON.stringify(got));
