#!/bin/sh
# Succeeds when the nginx of this gateway answers anything at all, be it an error page.
exec curl --silent --output /dev/null --max-time 1 http://127.0.0.1/
