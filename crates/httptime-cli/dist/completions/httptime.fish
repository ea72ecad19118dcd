# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_httptime_global_optspecs
    string join \n h/help V/version
end

function __fish_httptime_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_httptime_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_httptime_using_subcommand
    set -l cmd (__fish_httptime_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c httptime -n "__fish_httptime_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_needs_command" -s V -l version -d 'Print version'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "query" -d 'Measure the offset and print it; change nothing'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "sync" -d 'Measure the offset once and correct the clock'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "run" -d 'Keep the clock correct as a service, or feed chronyd'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "status" -d 'Show whether the clock is synchronised, why not, and what the daemon knows'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "wait" -d 'Block until the clock is right, for boot order and scripts'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "doctor" -d 'Find out why the clock is wrong; change nothing'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "survey" -d 'Measure hundreds of servers, and name those whose clock is wrong; change nothing'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "demo" -d 'Measure a server with a wrong clock inside this program; needs no network and no privileges'
complete -c httptime -n "__fish_httptime_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c httptime -n "__fish_httptime_using_subcommand query" -l min-servers -d 'How many servers must answer and agree [default: more than half]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l profile -d 'How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or fast (≤ 64, 6 s)' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s n -l requests -d 'Most requests to each server, 1 to 1000 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s d -l duration -d 'Send requests for this long, in seconds, up to 3600 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s t -l target -d 'Stop once the standard deviation is this small, in seconds [default: none]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l timeout -d 'Longest wait for a name, a connection or a response, in seconds [default: 5]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l method -d 'Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that is refused or gives no Date GET' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l expect-status -d 'The only HTTP status that a response may have, such as 204 for a path like /generate_204: refuses the answers of captive portals and proxies [default: any]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l lag -d 'How late the server\'s Date may be, in seconds [default: from the response, else 2.02]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l stamp-header -d 'Header field of the stamp, the server\'s time in ms, µs or ns; "" ignores stamps [default: X-HTTPSTIME]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l drift-ppm -d 'How fast the two clocks may drift apart, in parts per million, up to 10000 [default: 300]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l estimator -d 'How to estimate the offset: last_date, midpoint, htpdate, intersection, symmetric or posterior' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l schedule -d 'When to send requests: periodic, bisect, scan, htpdate or adaptive' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l timestamps -d 'Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel\'s where it gives them' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s x -l proxy -d 'Proxy: http[s]://[user:password@]host[:port], socks5h://…, or "" for none [default: the environment\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s A -l user-agent -d 'User-Agent of the requests; "" for none [default: httptime and its version]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l source-address -d 'Local address of all connections [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l interface -d 'Network interface of all connections, such as eth0; Linux only [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l cacert -d 'Trust the CA certificates in this file (PEM) instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l capath -d 'Trust the CA certificates in the files of this directory instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l cert -d 'Client certificate (PEM, with its chain), for a server that asks for one' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l key -d 'Private key of the client certificate (PEM, not encrypted) [default: in the same file]' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l pin -d 'Accept only the server with this public key, whatever its certificate says: sha256//BASE64, several separated by ;' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l floor -d 'A day that has passed, such as 2026-01-31: certificates that expired before it are refused [default: the day on which this program was built]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-cacert -d 'As --cacert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-capath -d 'As --capath, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-cert -d 'As --cert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-key -d 'As --key, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-pin -d 'As --pin, for an https proxy' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l retry -d 'Repeat a failed measurement up to N times, after 0.6 s and then after pauses of up to 10 s' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -l retry-max-time -d 'Do not repeat it later than this after the start, in seconds [default: no limit]' -r
complete -c httptime -n "__fish_httptime_using_subcommand query" -s p -l proxytunnel -d 'Tunnel through the proxy (CONNECT), so that no cache on it can answer'
complete -c httptime -n "__fish_httptime_using_subcommand query" -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand query" -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand query" -s k -l insecure -d 'Accept every certificate of the server: anyone on the path can forge the time'
complete -c httptime -n "__fish_httptime_using_subcommand query" -l insecure-time -d 'Correct the clock although --insecure is given (sync)'
complete -c httptime -n "__fish_httptime_using_subcommand query" -l proxy-insecure -d 'As --insecure, for an https proxy: anyone on the path can read its password'
complete -c httptime -n "__fish_httptime_using_subcommand query" -l json -d 'Print one JSON object, also on failure'
complete -c httptime -n "__fish_httptime_using_subcommand query" -s v -l verbose -d 'Show each response, each lost request, and what was assumed'
complete -c httptime -n "__fish_httptime_using_subcommand query" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l min-servers -d 'How many servers must answer and agree [default: more than half]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l profile -d 'How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or fast (≤ 64, 6 s)' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s n -l requests -d 'Most requests to each server, 1 to 1000 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s d -l duration -d 'Send requests for this long, in seconds, up to 3600 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s t -l target -d 'Stop once the standard deviation is this small, in seconds [default: none]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l timeout -d 'Longest wait for a name, a connection or a response, in seconds [default: 5]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l method -d 'Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that is refused or gives no Date GET' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l expect-status -d 'The only HTTP status that a response may have, such as 204 for a path like /generate_204: refuses the answers of captive portals and proxies [default: any]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l lag -d 'How late the server\'s Date may be, in seconds [default: from the response, else 2.02]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l stamp-header -d 'Header field of the stamp, the server\'s time in ms, µs or ns; "" ignores stamps [default: X-HTTPSTIME]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l drift-ppm -d 'How fast the two clocks may drift apart, in parts per million, up to 10000 [default: 300]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l estimator -d 'How to estimate the offset: last_date, midpoint, htpdate, intersection, symmetric or posterior' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l schedule -d 'When to send requests: periodic, bisect, scan, htpdate or adaptive' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l timestamps -d 'Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel\'s where it gives them' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s x -l proxy -d 'Proxy: http[s]://[user:password@]host[:port], socks5h://…, or "" for none [default: the environment\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s A -l user-agent -d 'User-Agent of the requests; "" for none [default: httptime and its version]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l source-address -d 'Local address of all connections [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l interface -d 'Network interface of all connections, such as eth0; Linux only [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l cacert -d 'Trust the CA certificates in this file (PEM) instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l capath -d 'Trust the CA certificates in the files of this directory instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l cert -d 'Client certificate (PEM, with its chain), for a server that asks for one' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l key -d 'Private key of the client certificate (PEM, not encrypted) [default: in the same file]' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l pin -d 'Accept only the server with this public key, whatever its certificate says: sha256//BASE64, several separated by ;' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l floor -d 'A day that has passed, such as 2026-01-31: certificates that expired before it are refused [default: the day on which this program was built]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-cacert -d 'As --cacert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-capath -d 'As --capath, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-cert -d 'As --cert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-key -d 'As --key, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-pin -d 'As --pin, for an https proxy' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l retry -d 'Repeat a failed measurement up to N times, after 0.6 s and then after pauses of up to 10 s' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l retry-max-time -d 'Do not repeat it later than this after the start, in seconds [default: no limit]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l step-threshold -d 'Step errors larger than this, in seconds; slew smaller ones' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l max-forward -d 'Refuse to set the clock forward by more than this, in seconds; inf: no limit' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l max-backward -d 'Refuse to set the clock back by more than this, in seconds; inf: no limit' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l quorum -d 'How many independent servers must agree to exceed --max-forward and --max-backward [default: a majority of three or more]' -r
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l textfile -d 'Write metrics for Prometheus\' node_exporter; not in a dry run' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s p -l proxytunnel -d 'Tunnel through the proxy (CONNECT), so that no cache on it can answer'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s k -l insecure -d 'Accept every certificate of the server: anyone on the path can forge the time'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l insecure-time -d 'Correct the clock although --insecure is given (sync)'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l proxy-insecure -d 'As --insecure, for an https proxy: anyone on the path can read its password'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l dry-run -d 'Measure and print what would be done; change nothing'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l trust-single -d 'Let one or two servers exceed --max-forward and --max-backward'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l slew-only -d 'Never step: slew any error, however long that takes'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -l json -d 'Print one JSON object, also on failure'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s v -l verbose -d 'Show each response, each lost request, and what was assumed'
complete -c httptime -n "__fish_httptime_using_subcommand sync" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand run" -s c -l config -d 'The configuration file; see httptime.toml(5)' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand run" -l check -d 'Check the configuration and exit; prints nothing if it can be used'
complete -c httptime -n "__fish_httptime_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand status" -l watch -d 'Print again every S seconds, until Ctrl-C' -r
complete -c httptime -n "__fish_httptime_using_subcommand status" -l file -d 'The status file of \'httptime run\'' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand status" -l json -d 'Print one JSON object'
complete -c httptime -n "__fish_httptime_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand wait" -l within -d 'The largest error that is right, in seconds' -r
complete -c httptime -n "__fish_httptime_using_subcommand wait" -l timeout -d 'Give up after this time, in seconds; 0: check once [default: wait without limit]' -r
complete -c httptime -n "__fish_httptime_using_subcommand wait" -l file -d 'The status file of \'httptime run\'' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s x -l proxy -d 'Proxy: http[s]://[user:password@]host[:port], socks5h://…, or "" for none [default: the environment\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s A -l user-agent -d 'User-Agent of the requests; "" for none [default: httptime and its version]' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l source-address -d 'Local address of all connections [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l interface -d 'Network interface of all connections, such as eth0; Linux only [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l cacert -d 'Trust the CA certificates in this file (PEM) instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l capath -d 'Trust the CA certificates in the files of this directory instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l cert -d 'Client certificate (PEM, with its chain), for a server that asks for one' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l key -d 'Private key of the client certificate (PEM, not encrypted) [default: in the same file]' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l pin -d 'Accept only the server with this public key, whatever its certificate says: sha256//BASE64, several separated by ;' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l floor -d 'A day that has passed, such as 2026-01-31: certificates that expired before it are refused [default: the day on which this program was built]' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-cacert -d 'As --cacert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-capath -d 'As --capath, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-cert -d 'As --cert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-key -d 'As --key, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-pin -d 'As --pin, for an https proxy' -r
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l root -d 'Read files below this directory, for tests' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s p -l proxytunnel -d 'Tunnel through the proxy (CONNECT), so that no cache on it can answer'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s k -l insecure -d 'Accept every certificate of the server: anyone on the path can forge the time'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l insecure-time -d 'Correct the clock although --insecure is given (sync)'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l proxy-insecure -d 'As --insecure, for an https proxy: anyone on the path can read its password'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -l json -d 'Print one JSON object'
complete -c httptime -n "__fish_httptime_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s f -l file -d 'File with a server in each line; - for standard input' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l file-sd -d 'File with the targets of a Prometheus file_sd_configs entry, in JSON' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l reference -d 'Server whose clock is right [default: the local clock is]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l threshold -d 'The largest skew that is not wrong, in seconds' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l every -d 'Measure again every S seconds, until Ctrl-C; the files are read again, too' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l textfile -d 'Write metrics for Prometheus\' node_exporter, with the URL and the labels of each server' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l at-once -d 'Most servers to measure at the same time [default: 1000]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l start-rate -d 'Most servers to start with in a second [default: 250]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l timeout -d 'Longest wait for a name, a connection or a response, in seconds [default: 5]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l method -d 'Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that is refused or gives no Date GET' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l expect-status -d 'The only HTTP status that a response may have, such as 204 for a path like /generate_204: refuses the answers of captive portals and proxies [default: any]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l lag -d 'How late the server\'s Date may be, in seconds [default: from the response, else 2.02]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l stamp-header -d 'Header field of the stamp, the server\'s time in ms, µs or ns; "" ignores stamps [default: X-HTTPSTIME]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l drift-ppm -d 'How fast the two clocks may drift apart, in parts per million, up to 10000 [default: 300]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l estimator -d 'How to estimate the offset: last_date, midpoint, htpdate, intersection, symmetric or posterior' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l schedule -d 'When to send requests: periodic, bisect, scan, htpdate or adaptive' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l timestamps -d 'Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel\'s where it gives them' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s x -l proxy -d 'Proxy: http[s]://[user:password@]host[:port], socks5h://…, or "" for none [default: the environment\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s A -l user-agent -d 'User-Agent of the requests; "" for none [default: httptime and its version]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l source-address -d 'Local address of all connections [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l interface -d 'Network interface of all connections, such as eth0; Linux only [default: chosen by the system]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l cacert -d 'Trust the CA certificates in this file (PEM) instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l capath -d 'Trust the CA certificates in the files of this directory instead of the system\'s' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l cert -d 'Client certificate (PEM, with its chain), for a server that asks for one' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l key -d 'Private key of the client certificate (PEM, not encrypted) [default: in the same file]' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l pin -d 'Accept only the server with this public key, whatever its certificate says: sha256//BASE64, several separated by ;' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l floor -d 'A day that has passed, such as 2026-01-31: certificates that expired before it are refused [default: the day on which this program was built]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-cacert -d 'As --cacert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-capath -d 'As --capath, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-cert -d 'As --cert, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-key -d 'As --key, for an https proxy' -r -F
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-pin -d 'As --pin, for an https proxy' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l profile -d 'How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or fast (≤ 64, 6 s)' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s n -l requests -d 'Most requests to each server, 1 to 1000 [default: 12]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s d -l duration -d 'Send requests to a server for this long, in seconds, up to 3600 [default: 8]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s t -l target -d 'Stop once the standard deviation is this small, in seconds [default: 0.0005]' -r
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l json -d 'Print one JSON object for each survey'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s p -l proxytunnel -d 'Tunnel through the proxy (CONNECT), so that no cache on it can answer'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s k -l insecure -d 'Accept every certificate of the server: anyone on the path can forge the time'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l insecure-time -d 'Correct the clock although --insecure is given (sync)'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -l proxy-insecure -d 'As --insecure, for an https proxy: anyone on the path can read its password'
complete -c httptime -n "__fish_httptime_using_subcommand survey" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l skew -d 'How far the server\'s clock is ahead of the local one, in seconds; negative: behind' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l delay -d 'One-way delay of requests and of responses, in seconds' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l profile -d 'How much to spend: polite (≤ 24 requests, one a second, 40 s), balanced (≤ 48, 10.5 s) or fast (≤ 64, 6 s)' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -s n -l requests -d 'Most requests to each server, 1 to 1000 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -s d -l duration -d 'Send requests for this long, in seconds, up to 3600 [default: the profile\'s]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -s t -l target -d 'Stop once the standard deviation is this small, in seconds [default: none]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l timeout -d 'Longest wait for a name, a connection or a response, in seconds [default: 5]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l method -d 'Which request to send: head, get, options (OPTIONS *), or auto, HEAD and where that is refused or gives no Date GET' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l expect-status -d 'The only HTTP status that a response may have, such as 204 for a path like /generate_204: refuses the answers of captive portals and proxies [default: any]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l lag -d 'How late the server\'s Date may be, in seconds [default: from the response, else 2.02]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l stamp-header -d 'Header field of the stamp, the server\'s time in ms, µs or ns; "" ignores stamps [default: X-HTTPSTIME]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l drift-ppm -d 'How fast the two clocks may drift apart, in parts per million, up to 10000 [default: 300]' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l estimator -d 'How to estimate the offset: last_date, midpoint, htpdate, intersection, symmetric or posterior' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l schedule -d 'When to send requests: periodic, bisect, scan, htpdate or adaptive' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l timestamps -d 'Whose times of requests and responses to use: kernel (Linux), user, or auto, the kernel\'s where it gives them' -r
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l stamp -d 'The server sends a stamp, X-HTTPSTIME with its time in µs, beside the Date'
complete -c httptime -n "__fish_httptime_using_subcommand demo" -l json -d 'Print one JSON object, also on failure'
complete -c httptime -n "__fish_httptime_using_subcommand demo" -s v -l verbose -d 'Show each response, each lost request, and what was assumed'
complete -c httptime -n "__fish_httptime_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "query" -d 'Measure the offset and print it; change nothing'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "sync" -d 'Measure the offset once and correct the clock'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "run" -d 'Keep the clock correct as a service, or feed chronyd'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "status" -d 'Show whether the clock is synchronised, why not, and what the daemon knows'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "wait" -d 'Block until the clock is right, for boot order and scripts'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "doctor" -d 'Find out why the clock is wrong; change nothing'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "survey" -d 'Measure hundreds of servers, and name those whose clock is wrong; change nothing'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "demo" -d 'Measure a server with a wrong clock inside this program; needs no network and no privileges'
complete -c httptime -n "__fish_httptime_using_subcommand help; and not __fish_seen_subcommand_from query sync run status wait doctor survey demo help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
