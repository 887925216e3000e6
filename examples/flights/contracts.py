"""What every version of a table must be. HHMM is local time as a number: 517 is 5:17."""

from datetime import date, datetime

import legato as lg

AIRPORTS = ("EWR", "JFK", "LGA")
WHEN = lg.column(datetime, nulls=False, description="the scheduled hour of departure, UTC")
ORIGIN = lg.column(str, nulls=False, among=AIRPORTS)

FLIGHTS = lg.contract(
    {
        "date": lg.column(date, nulls=False),
        "time_hour": WHEN,
        "sched_dep_time": lg.column(int, nulls=False, low=0, high=2359, description="HHMM"),
        "carrier": lg.column(str, description="two letters or digits, named in airlines"),
        "flight": lg.column(int, nulls=False, low=1),
        "tailnum": lg.column(str, description="the plane, where one was assigned"),
        "origin": ORIGIN,
        "dest": lg.column(str, nulls=False),
        "distance": lg.column(int, nulls=False, low=1, description="miles"),
        "dep_delay": lg.column(int, description="minutes; null if cancelled"),
        "arr_delay": lg.column(int, description="minutes; null if cancelled or diverted"),
    },
    compatibility="backward",
)

WEATHER = lg.contract(
    {
        "origin": ORIGIN,
        "time_hour": lg.column(datetime, nulls=False, description="UTC"),
        "temp": lg.column(float, low=-30, high=130, description="degrees Fahrenheit"),
        "wind_speed": lg.column(float, low=0, description="miles an hour"),
        "precip": lg.column(float, low=0, description="inches"),
        "visib": lg.column(float, low=0, high=10, description="miles"),
    }
)

DELAYS = lg.contract(
    {
        "date": lg.column(date, nulls=False),
        "time_hour": WHEN,
        "carrier": lg.column(str, nulls=False),
        "airline": str,
        "dep_delay": int,
        "arr_delay": int,
        "cancelled": lg.column(bool, nulls=False),
        "plane_age_years": lg.column(int, low=0, high=80),
    },
    compatibility="backward",
)

CARRIER_PERFORMANCE = lg.contract(
    {
        "month": lg.column(date, nulls=False, description="its first day"),
        "carrier": lg.column(str, nulls=False, unique=True),
        "flights": lg.column(int, nulls=False, low=1),
        "on_time_share": lg.column(float, low=0, high=1),
        "mean_dep_delay": lg.column(float, description="minutes"),
        "cancelled_share": lg.column(float, nulls=False, low=0, high=1),
    },
    compatibility="backward",
)
