"""The text of the configuration files of a Slurm that lies in one folder. Text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CLUSTER = "parcache"
CPUS = 8  # a node claims these, whatever the machine has
MEMORY_MB = 4000
GPUS = 2  # of the first node; files stand for them
PARTITIONS = {
    "main": "Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF",
    "short": "MaxTime=1 PriorityTier=10 PreemptMode=OFF",
    "low": "MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE",
    "down": "MaxTime=INFINITE State=DOWN PriorityTier=10 PreemptMode=OFF",
}
# A user may have one running job of this quality of service; only where there is accounting.
TIGHT_QOS = "tight"
ACCOUNT = "lab"


@dataclass(frozen=True)
class Site:
    """What the files say: where, under which host name, on which ports of the loopback, and what else is set.

    ``password`` is that of slurmdbd's user in its database. With ``cgroups`` the kernel holds the memory of a job.
    """

    folder: Path
    host: str
    ports: Mapping[str, int]
    accounting: bool
    password: str
    nodes: Sequence[str]
    cgroups: bool
    settings: Mapping[str, str] = field(default_factory=dict)


def slurm_conf(site: Site) -> str:
    """Return slurm.conf."""
    folder = site.folder
    settings = {
        "ClusterName": CLUSTER,
        "SlurmctldHost": f"{site.host}(127.0.0.1)",
        "SlurmctldPort": str(site.ports["slurmctld"]),
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "CredType": "cred/munge",
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool-%n",
        "SlurmctldPidFile": f"{folder}/slurmctld.own",
        "SlurmdPidFile": f"{folder}/slurmd-%n.own",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "ProctrackType": "proctrack/linuxproc",
        "ReturnToService": "2",
        "SlurmdParameters": "config_overrides",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "DefMemPerCPU": "400",
        "GresTypes": "gpu",
        "JobAcctGatherType": "jobacct_gather/linux",
        "JobAcctGatherFrequency": "task=1",
        "MaxArraySize": "1001",
        "MaxJobCount": "20000",
        "MinJobAge": "300",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "JobRequeue": "1",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,"
        "bf_continue,default_queue_depth=1000",
        "KillWait": "2",
        "CompleteWait": "0",
        "SlurmdTimeout": "15",
        "SlurmctldTimeout": "10",
        "MessageTimeout": "20",
        "InactiveLimit": "0",
        "EpilogMsgTime": "0",
        "SlurmctldDebug": "info",
        "SlurmdDebug": "info",
    }
    if site.accounting:
        settings |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStoragePass": f"{folder}/munge.socket",  # the manual: of a second munged, its socket
            "AccountingStorageHost": "127.0.0.1",
            "AccountingStoragePort": str(site.ports["slurmdbd"]),
            "AccountingStorageEnforce": "limits,qos",
            "AccountingStorageTRES": "gres/gpu",
        }
    if site.cgroups:
        settings["TaskPlugin"] = "task/cgroup"
    else:  # memory is looked at each second: a job that has too much is killed, and not called out of memory
        settings |= {"TaskPlugin": "task/none", "JobAcctGatherParams": "OverMemoryKill"}
    settings |= site.settings
    lines = [f"{name}={value}" for name, value in settings.items()]
    for node in site.nodes:
        gpus = f" Gres=gpu:{GPUS}" if node == site.nodes[0] else ""
        lines.append(
            f"NodeName={node} NodeHostname={site.host} NodeAddr=127.0.0.1 Port={site.ports[node]}"
            f" CPUs={CPUS} RealMemory={MEMORY_MB}{gpus} State=UNKNOWN"
        )
    lines += [f"PartitionName={name} Nodes={','.join(site.nodes)} {rest}" for name, rest in PARTITIONS.items()]
    return "\n".join(lines) + "\n"


def gres_conf(site: Site) -> str:
    """Return gres.conf: files stand for the first node's GPUs."""
    return f"NodeName={site.nodes[0]} Name=gpu File={site.folder}/gpu[0-{GPUS - 1}]\n"


def cgroup_conf() -> str:
    """Return cgroup.conf: a job has the memory that it has asked for."""
    return "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainRAMSpace=yes\nConstrainSwapSpace=no\n"


def slurmdbd_conf(site: Site) -> str:
    """Return slurmdbd.conf."""
    folder = site.folder
    settings = {
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": str(site.ports["slurmdbd"]),
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "PidFile": f"{folder}/slurmdbd.own",
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "127.0.0.1",
        "StoragePort": str(site.ports["database"]),
        "StorageUser": "slurm",
        "StoragePass": site.password,
        "StorageLoc": "slurm_acct_db",
        "DebugLevel": "info",
    }
    return "\n".join(f"{name}={value}" for name, value in settings.items()) + "\n"
