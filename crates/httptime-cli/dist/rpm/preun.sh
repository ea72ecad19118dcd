# $1 is 0 when the package is removed, and 1 when it is upgraded.
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now httptime.service httptime-chrony.service \
        httptime-sync.timer httptime-sync.service httptime-wait.service || :
fi
