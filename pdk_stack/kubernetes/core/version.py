"""The Kubernetes release that the embedded API reports."""

# The release whose rules the API follows; kubectl 1.30 to 1.32 accept it without a warning.
VERSION = {
    "major": "1",
    "minor": "31",
    "gitVersion": "v1.31.14+pdklab",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2025-11-11T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "embedded",
}
