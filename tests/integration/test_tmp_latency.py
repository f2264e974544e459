import importlib.util, time, resource, signal, subprocess, pytest
spec = importlib.util.spec_from_file_location("td", "tests/integration/test_deliver.py"); td = importlib.util.module_from_spec(spec); spec.loader.exec_module(td)
installation = td.installation
@pytest.mark.integration
def test_latency(installation):
    with td.SlackStandIn() as slack:
        installation.slack("d", slack)
        installation.rule({"notify": "d"})
        p = installation.start()
        installation.alert(td.FIRED)
        installation.until(lambda: len(slack.calls) == 1)
        time.sleep(1)
        out = []
        for n in range(10):
            t = time.time()
            installation.alert(td.FIRED.model_copy(update={"alert_id": f"a{n}"}))
            while len(slack.calls) < n + 2: time.sleep(0.002)
            out.append(round((time.time() - t) * 1000))
            time.sleep(0.3)
        print("latency ms", out)
        def cpu(): f = open(f"/proc/{p.pid}/stat").read().split(); return (int(f[13]) + int(f[14])) / 100
        c = cpu(); time.sleep(5); print("idle cpu %", (cpu() - c) / 5 * 100)
        t = time.time(); N = 300
        installation.alert(*(td.FIRED.model_copy(update={"alert_id": f"b{n}"}) for n in range(N)))
        installation.until(lambda: len(slack.calls) >= N + 11)
        print("rate/s", N / (time.time() - t))
        t = time.time(); p.send_signal(signal.SIGTERM); print("exit", p.wait(20), time.time() - t)
        print(installation.log.read_text()[-1500:])
