"""The Kubernetes release that the embedded API reports."""

# The API level for clients; kubectl 1.31 to 1.33 accept it without a warning.
VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4+pdklab",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "embedded",
}
