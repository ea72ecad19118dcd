# Nothing is enabled: no server is known yet.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
fi
