# $1 is 0 when the package is removed, and 1 when it is upgraded.
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" != 0 ]; then
        systemctl try-restart httptime.service httptime-chrony.service || :
    fi
fi
# An RPM package has no purge: the state in /var/lib/httptime stays, as that of other services does.
