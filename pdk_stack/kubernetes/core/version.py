"""The release of Kubernetes that the embedded one answers as."""

# The API level that clients may expect; kubectl 1.31 to 1.33 accept it without a warning.
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
