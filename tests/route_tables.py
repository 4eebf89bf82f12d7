"""Routing tables of hosts and of further routers, in columns and as JSON, in which one prefix leads to AWS and all else elsewhere."""

import json
from pathlib import Path

import numpy as np

from auditor.paths import route_files
from auditor.paths.routes import Hop, RoutingTable
from auditor.prefixes import parse_address

ISP, AWS = "192.0.2.141", "192.0.2.1"
GENMASK = "Kernel IP routing table\nDestination     Gateway         Genmask         Flags "
ROUTE_N = f"{GENMASK}Metric Ref    Use Iface\n0.0.0.0         {ISP}     0.0.0.0         UG    100    0        0 eth2\n"
INTERNET = "Routing tables\n\nInternet:\nDestination        Gateway            Flags     Netif Expire\n"
WINDOWS = "IPv4 Route Table\n=====\nActive Routes:\nNetwork Destination        Netmask          Gateway       Interface  Metric\n"
VRP = "Routing Tables: {}\n         Destinations : 2        Routes : 2\n\nDestination/Mask    Proto   Pre  Cost      Flags NextHop         Interface\n\n"
SR_OS = "Route Table (Router: Base)\n=====\nDest Prefix[Flags]          Type    Proto     Age        Pref\n      Next Hop[Interface Name]               Metric\n-----\n"
GAIA = "Codes: C - Connected, S - Static\n       A - Aggregate, K - Kernel Remnant, H - Hidden\n       U - Unreachable, i - Inactive\n\n"
COLUMNS = "Columns: DST-ADDRESS, GATEWAY, DISTANCE\n#      DST-ADDRESS      GATEWAY      DISTANCE\n"
PAN_OS = "VIRTUAL ROUTER: default (id 1)\n  ==========\ndestination          nexthop        metric flags      age   interface\n"
BGPCTL = "flags  vs destination          gateway          lpref   med aspath origin\n"


def windows(heading: str, active: str, header: str, on_link: str, persistent: str) -> str:
    """``route print`` in some language."""
    line = "=" * 75
    rows = f"          0.0.0.0          0.0.0.0      {ISP}    198.51.100.10     25\n"
    rows += f"        52.94.0.0      255.255.0.0        {AWS}    198.51.100.10     26\n"
    rows += f"     198.51.100.0    255.255.255.0  {on_link}     198.51.100.10    281\n"
    more = f"  A  B  C  D\n        52.94.5.0    255.255.255.0        {ISP}       1\n"
    return f"{heading}\n{line}\n{active}\n{header}\n{rows}{line}\n{persistent}\n{more}{line}\n"


def eos(routes: dict[str, tuple[str, ...]], **more: object) -> dict[str, object]:
    listed = {
        prefix: {"routeAction": "forward", "vias": [{"nexthopAddr": hop, "interface": "Ethernet1"} for hop in hops]} | more
        for prefix, hops in routes.items()
    }  # fmt: skip
    return {"vrfs": {"default": {"routes": listed}, "guest": {"routes": {"52.94.5.0/24": {"vias": []}}}}}


def gobgp(address: str, best: bool = True) -> dict[str, object]:
    attributes = [{"type": 2, "as_paths": [{"asns": [7224]}]}, {"type": 3, "nexthop": address}]
    return {"best": best, "attrs": [*attributes, {"type": 8, "communities": [7224 << 16 | 8100]}]}


TEXTS = {
    "Linux, route": f"{ROUTE_N}52.94.0.0       {AWS}       255.255.0.0     UG    20     0        0 eth1\n"
    f"52.94.0.0       {ISP}     255.255.0.0     UG    200    0        0 eth2\n",
    "Linux, netstat": f"{GENMASK}  MSS Window  irtt Iface\ndefault         {ISP}     0.0.0.0         UG        0 0          0 eth2\n"
    f"52.94.0.0       {AWS}       255.255.0.0     UG        0 0          0 eth1\n",
    "FreeBSD": f"{INTERNET}default            {ISP}        UGS        igb2\n52.94.0.0/16       {AWS}          UG1        igb1\n"
    "127.0.0.1          link#4             UH          lo0\n\nInternet6:\n"
    "Destination      Gateway       Flags     Netif Expire\n::1              link#4        UHS         lo0\n",
    "FreeBSD, another table": f"{INTERNET}default            {ISP}        UGS        igb2\n52.94.0.0/16       {AWS}          UG1    igb1\n"
    f"\n{INTERNET.replace('tables', 'tables (fib: 1)')}52.94.5.0/24       {ISP}        UGS        igb2\n",
    "OpenBSD": f"{INTERNET.replace('Netif Expire', 'Refs Use Mtu Prio Iface')}default {ISP} UGS 5 12 - 8 em2\n"
    f"52.94/16 {AWS} UG 0 3 - 48 vlan102\n52.94/16 {ISP} UG 0 3 - 56 em2\n",
    "macOS": f"{INTERNET}default            {ISP}        UGScg                 en0\ndefault            {AWS}          UGScIg     en1\n"
    f"52.94              {AWS}          UGSc                  en1\n",
    "Windows": f"{WINDOWS}          0.0.0.0          0.0.0.0      {ISP}    198.51.100.10     25\n"
    f"        52.94.0.0      255.255.0.0        {AWS}    198.51.100.10     26\n"
    "     198.51.100.0    255.255.255.0         On-link     198.51.100.10    281\n=====\nPersistent Routes:\n"
    f"  Network Address          Netmask  Gateway Address  Metric\n        52.94.5.0    255.255.255.0        {ISP}       1\n",
    "Windows, German": windows("IPv4-Routentabelle", "Aktive Routen:", "     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik", "Auf Verbindung", "Ständige Routen:"),
    "Windows, French": windows("IPv4 Table de routage", "Itinéraires actifs :", "Destination réseau    Masque réseau  Adr. passerelle   Adr. interface Métrique", "On-link", "Itinéraires persistants :"),
    "Windows, Spanish": windows("IPv4 Tabla de enrutamiento", "Rutas activas:", "Destino de red        Máscara de red   Puerta de enlace   Interfaz  Métrica", "En vínculo", "Rutas persistentes:"),
    "Windows, Japanese": windows("IPv4 ルート テーブル", "アクティブ ルート:", "ネットワーク宛先        ネットマスク          ゲートウェイ       インターフェイス  メトリック", "リンク上", "固定ルート："),
    "VRP": f"{VRP.format('Public')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n      52.94.0.0/16  EBGP    255  0          RD   {AWS}       GE0/0/1.102\n"
    f"{VRP.format('guest')}      52.94.5.0/24  Static  60   0          RD   {ISP}     GE0/0/2\n",
    "Comware": f"{VRP.format('x').partition('Dest')[0].partition('Routing')[0]}Destination/Mask   Proto   Pre Cost        NextHop         Interface\n0.0.0.0/0          Static  60  0           {ISP}     GE1/0/2\n"
    f"52.94.0.0/16       BGP     255 0           {AWS}       GE1/0/1.102\n127.0.0.0/8        Direct  0   0           127.0.0.1       InLoop0\n",
    "VRP, one VPN instance": f"{VRP.format('dx')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n      52.94.0.0/16  EBGP    255  0          RD   {AWS}       GE0/0/1.102\n",
    "SR OS": f"{SR_OS}0.0.0.0/0                   Remote  Static    02d01h00m  5\n       {ISP}                                 1\n"
    f"52.94.0.0/16                Remote  BGP       02d01h00m  170\n       {AWS}                                   0\n"
    f"{SR_OS.replace('Router: Base', 'Service: 100')}52.94.5.0/24                Remote  Static    02d01h00m  5\n       {ISP}                                 1\n",
    "Gaia": f"{GAIA}S         0.0.0.0/0           via {ISP}, eth2, cost 0, age 23456\nB         52.94.0.0/16        via {AWS}, eth1.102, cost None, age 5678\n"
    f"B    i    52.94.5.0/24        via {ISP}, eth2, cost None, age 5678\nC         192.0.2.0/30        is directly connected, eth1.102\n",
    "PowerShell": "ifIndex DestinationPrefix    NextHop    RouteMetric ifMetric PolicyStore\n------- ----\n"
    f"12      0.0.0.0/0      {ISP}      0 25       ActiveStore\n12      52.94.0.0/16   {AWS}        1 25       ActiveStore\n"
    f"12      52.94.0.0/16   {ISP}      9 25       ActiveStore\n",
    "RouterOS 6": " #      DST-ADDRESS        PREF-SRC        GATEWAY            DISTANCE\n"
    f" 0 A S  0.0.0.0/0                          {ISP}               1\n"
    f" 1 ADb  52.94.0.0/16                       {AWS}                20\n"
    f" 2  Db  52.94.0.0/16                       {ISP}              20\n"
    " 3 ADC  192.0.2.0/30       192.0.2.2       vlan102                   0\n",
    "RouterOS 7": f"{COLUMNS}0  As  0.0.0.0/0        {ISP}         1\n  DAb  52.94.0.0/16     {AWS}%vlan102    20\n"
    f"1  Xs  52.94.5.0/24     {ISP}         1\n2  Is  52.94.5.0/24     {ISP}         1\n",
    "RouterOS 6, terse": f" 0 A S  dst-address=0.0.0.0/0 gateway=192.0.2.9,{ISP} gateway-status=192.0.2.9 unreachable,{ISP} reachable via  ether2 distance=1 scope=30\n"
    f" 1 ADb  dst-address=52.94.0.0/16 gateway={AWS} gateway-status={AWS} reachable via  vlan102 distance=20\n"
    f" 2  Db  dst-address=52.94.0.0/16 gateway={ISP} gateway-status={ISP} reachable via  ether2 distance=200\n"
    f" 3   S  comment=to AWS dst-address=52.94.5.0/24 gateway={ISP} distance=1\n 4      comment=old dst-address=52.94.6.0/24 gateway={ISP} distance=1\n",
    "RouterOS 6, detail": f"Flags: X - disabled, A - active, D - dynamic\n 0 ADS  dst-address=0.0.0.0/0 gateway={ISP} distance=1 vrf-interface=ether2\n\n"
    f" 1 A S  ;;; guests\n        dst-address=52.94.5.0/24 gateway={ISP} distance=1\n        scope=30 routing-mark=guests\n\n"
    f" 2 A S  ;;; to AWS\n        dst-address=52.94.0.0/16 gateway={AWS} distance=1 scope=30\n",
    "RouterOS 7, detail": f"Flags: D - dynamic; X - disabled, I - inactive, A - active; c - connect, s - static\n   DAd   dst-address=0.0.0.0/0 routing-table=main gateway={ISP} \n"
    f"         immediate-gw={ISP}%ether2 distance=1 vrf-interface=ether2 \n\n 0  As   dst-address=52.94.0.0/16 routing-table=main gateway={AWS} distance=1 \n\n"
    f" 1  Is   dst-address=52.94.5.0/24 routing-table=main gateway={ISP} distance=1 \n\n 2  As   dst-address=52.94.5.0/24 routing-table=isp gateway={ISP} distance=1 \n",
    "PAN-OS": f"{PAN_OS}0.0.0.0/0            {ISP}    10     A S              ethernet1/3\n"
    f"52.94.0.0/16         {AWS}             A B        8042  ethernet1/2.102    7224\n"
    f"52.94.5.0/24         {ISP}    200      S              ethernet1/3\n",
    "OpenBGPD": f"{BGPCTL}*>    N-? 0.0.0.0/0            {ISP}       100     0 64999 i\n"
    f"*>    N-? 52.94.0.0/16         {AWS}         100     0 7224 i\n*     N-? 52.94.0.0/16         {ISP}       100     0 64999 i\n",
    "GoBGP": "   Network              Next Hop             AS_PATH              Age        Attrs\n"
    f"*> 0.0.0.0/0            {ISP}          64999                00:10:01   [{{Origin: i}}]\n"
    f"*> 52.94.0.0/16         {AWS}            7224                 00:10:01   [{{Origin: i}}]\n",
    "ASA": f"Codes: C - connected, S - static\nGateway of last resort is {ISP} to network 0.0.0.0\n\n"
    f"S*       0.0.0.0 0.0.0.0 [1/0] via {ISP}, outside\nB        52.94.0.0 255.255.0.0 [20/0] via {AWS}, 02:11:31\n",
    "EOS, JSON": json.dumps(eos({"0.0.0.0/0": (ISP,), "52.94.0.0/16": (AWS,)})),
    "EOS, eAPI": json.dumps({"jsonrpc": "2.0", "result": [eos({"0.0.0.0/0": (ISP,), "52.94.0.0/16": (AWS,)})]}),
    "GoBGP, JSON": json.dumps({"0.0.0.0/0": [gobgp(ISP)], "52.94.0.0/16": [gobgp(ISP, False), gobgp(AWS)]}),
    "OpenBGPD, JSON": json.dumps({"rib": [
        {"prefix": "0.0.0.0/0", "valid": True, "best": True, "true_nexthop": ISP, "aspath": "64999"},
        {"prefix": "52.94.0.0/16", "valid": True, "best": True, "exit_nexthop": AWS, "aspath": "7224"},
        {"prefix": "52.94.0.0/16", "valid": True, "source": "external", "exit_nexthop": ISP},
    ]}),
}  # fmt: skip
NOWHERE = {
    "VRP, by a next hop of IPv6": f"{VRP.format('Public')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n      52.94.0.0/16  BGP     255  0          RD   FE80::1         GE0/0/1\n",
    "Linux": f"{ROUTE_N}52.94.0.0       -               255.255.0.0     !     20     -        0 -\n",
    "FreeBSD": f"{INTERNET}default            {ISP}        UGS        igb2\n52.94.0.0/16       {AWS}          UGSB        lo0\n",
    "VRP": f"{VRP.format('Public')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n      52.94.0.0/16  Static  60   0          D   0.0.0.0     NULL0\n",
    "SR OS": f"{SR_OS}0.0.0.0/0                   Remote  Static    02d01h00m  5\n       {ISP}                                 1\n"
    "52.94.0.0/16                Blackh* Static    02d01h00m  5\n       Black Hole                                  1\n",
    "Gaia": f"{GAIA}S         0.0.0.0/0           via {ISP}, eth2, cost 0, age 23456\nS         52.94.0.0/16        is a blackhole route\n",
    "RouterOS": f"{COLUMNS}0  As  0.0.0.0/0        {ISP}         1\n1  AsB 52.94.0.0/16                   1\n",
    "RouterOS, detail": f" 0  As   dst-address=0.0.0.0/0 routing-table=main gateway={ISP} distance=1 \n\n 1  As   ;;; never\n         dst-address=52.94.0.0/16 routing-table=main blackhole distance=1 \n",
    "PAN-OS": f"{PAN_OS}0.0.0.0/0            {ISP}    10     A S              ethernet1/3\n52.94.0.0/16         discard        10     A S\n",
    "EOS": json.dumps(
        {"vrfs": {"default": {"routes": {"0.0.0.0/0": {"vias": [{"nexthopAddr": ISP}]}, "52.94.0.0/16": {"routeAction": "drop"}}}}}
    ),
}  # fmt: skip
# Of two routes to all else that are as good as each other.
SEVERAL = [
    f"{VRP.format('Public')}        0.0.0.0/0   Static  60   0          RD   {ISP}     GE0/0/2\n                    Static  60   0          RD   {AWS}     GE0/0/1\n",
    (
        f"{VRP.partition('Dest')[0].partition('Routing')[0]}Destination/Mask    Proto  Pre  Cost         NextHop         Interface\n"
        f"0.0.0.0/0           Static 60   0            {ISP}     Vlan20\n                                             {AWS}       Vlan102\n"
    ),
    f" 0 A S  dst-address=0.0.0.0/0 gateway={ISP},{AWS} distance=1\n",
    f"   DAb + dst-address=0.0.0.0/0 routing-table=main gateway={ISP} \n         distance=20 \n\n   DAb + dst-address=0.0.0.0/0 gateway={AWS} distance=20 \n",
    f"{SR_OS}{''.join(f'0.0.0.0/0                   Remote  Static    02d01h00m  5{chr(10)}       {hop}           1{chr(10)}' for hop in (ISP, AWS))}",
    f"{GAIA}S         0.0.0.0/0           via {ISP}, eth2, cost 0, age 1\n                              via {AWS}, eth1, cost 0, age 1\n",
    f"{ROUTE_N}0.0.0.0         {AWS}       0.0.0.0         UG    100    0        0 eth1\n",
    f"{COLUMNS}  DAb+ 0.0.0.0/0        {ISP}         1\n  DAb+ 0.0.0.0/0        {AWS}           1\n",
    f"{COLUMNS}0  As  0.0.0.0/0        {ISP}         1\n                        {AWS}\n",
    json.dumps(eos({"0.0.0.0/0": (ISP, AWS)})),
]


def hop_to(folder: Path, text: str, address: str) -> Hop:
    """Where the table of a file leads for an address."""
    (folder / "routes.txt").write_text(text, newline="")
    table = RoutingTable(route_files.read(folder / "routes.txt"))
    high, low = (np.array([half], np.uint64) for half in parse_address(address))
    return table.hops[int(table.find(high, low)[0][0])]
