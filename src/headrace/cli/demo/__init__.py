"""The main job on real data, as `headrace demo` does it: train, deploy, serve, release twice, export, tell the story.

Called by the command line and by the test that walks the main job. Uses the platform as a user would: the stock MLflow
client, the public HTTP API, the client. Never reach into a room of the platform from here.
"""
